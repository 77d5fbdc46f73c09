"""What faults do to single messages and to orders: dropped, late, twice, in pieces, lied, refused, corrected."""

import signal
from pathlib import Path
from typing import Any

import pytest

from infra.errors import UsageError
from infra.gateway_simulator.faults.lies import LIES
from infra.gateway_simulator.protocol.codes import TEXTS
from tests.unit.a_gateway_by_hand import APPLE, Client, Hand, by_hand, history


def arm(hand: Hand, do: dict[str, Any], **on: Any) -> int:
    return hand.gateway.director.arm(on, do)


async def test_a_message_is_dropped_doubled_or_repeated_later() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"drop": True}, event="currentTime sent")
        arm(hand, {"duplicate": True}, event="currentTime sent")
        arm(hand, {"echo": 5}, event="currentTime sent")
        counts = []
        for _ in range(3):
            await client.say(49, 1)
            counts.append(len(client.of(49)))
        await hand.wall(5)

        assert counts == [0, 2, 3]
        assert len(client.of(49)) == 4


async def test_a_late_message_holds_the_others_back_unless_they_may_pass() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        for overtake, first in ((False, "49"), (True, "9")):
            arm(hand, {"delay": 2, "overtake": overtake}, event="currentTime sent")
            client.forget()
            await client.say(49, 1)
            await client.say(8, 1, 1)
            assert [each[0] for each in client.heard] == (["9"] if overtake else [])
            await hand.wall(2)
            assert client.heard[0][0] == first
            assert {each[0] for each in client.heard} == {"9", "49"}


async def test_a_request_can_be_late_lost_or_come_twice() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        client.forget()
        for do in ({"delay": 3}, {"drop": True}, {"duplicate": True}):
            arm(hand, do, event="reqCurrentTime received")
        await client.say(49, 1)
        assert client.heard == []
        await hand.wall(3)
        assert len(client.of(49)) == 1
        await client.say(49, 1)
        assert len(client.of(49)) == 1
        await client.say(49, 1)
        assert len(client.of(49)) == 3


async def test_a_message_ends_in_its_middle_and_the_connection_with_it() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"cut": 10}, event="historicalData sent", symbol=None)
        client.forget()
        await client.say(*history(5))

        assert len(client.raw) == 10
        assert not client.session.is_open


async def test_a_message_ends_on_the_edge_of_a_chunk_and_nothing_follows_for_a_while() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"short_read": True}, event="currentTime sent")
        client.forget()
        await client.say(49, 1)
        await client.say(8, 1, 1)
        assert len(client.raw) % 4096 == 0
        assert [each[0] for each in client.heard] == ["4", "49"]
        await hand.wall(1.5)
        assert client.heard[-1][0] == "9"


async def test_filters_choose_by_symbol_code_status_reference_and_id() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        hit = {"notice": {"code": 2110}}
        for on in (
            {"event": "placeOrder received", "order_ref": "intent-2", "symbol": "AAPL"},
            {"event": "orderStatus sent", "status": "Filled", "order_id": 2},
            {"event": "error sent", "code": 10147},
            {"event": "reqHistoricalData received", "symbol": "AAPL", "request_id": 6},
        ):
            arm(hand, hit, **on)
        await client.order(1)
        await client.say(*history(5))
        assert client.codes().count(2110) == 0
        await client.order(2)
        await client.say(4, 1, 99, "")
        await client.say(*history(6))
        assert client.codes().count(2110) == 4


async def test_chance_is_the_same_for_the_same_seed() -> None:
    async def dropped() -> list[int]:
        async with by_hand() as hand:
            client = await hand.client()
            arm(hand, {"drop": True}, event="currentTime sent", chance=0.3, times=100)
            heard = []
            for number in range(40):
                await client.say(49, 1)
                heard.append(len(client.of(49)))
                await hand.wall(1 + number % 2)
            return heard

    first = await dropped()
    assert first == await dropped()
    assert 15 < first[-1] < 40


# history that lies


async def bars_of(hand: Hand, lie: str) -> list[list[str]]:
    client = await hand.client()
    arm(hand, {"lie": lie}, event="historicalData sent")
    await client.say(*history(5))
    (answer,) = client.of(17)
    assert len(answer) == 5 + 8 * int(answer[4])
    return [answer[at : at + 8] for at in range(5, len(answer), 8)]


@pytest.mark.parametrize("lie", sorted(LIES))
async def test_history_lies(lie: str) -> None:
    async with by_hand() as hand:
        bars = await bars_of(hand, lie)

    dates = [each[0] for each in bars]
    found = {
        "impossible": any(float(each[2]) < float(each[3]) for each in bars),
        "not_a_number": any(each[4] == "NaN" for each in bars),
        "negative_volume": all(float(each[5]) < 0 for each in bars) and bool(bars),
        "spike": max((float(each[4]) for each in bars if each[4] != "NaN"), default=0) > 10_000,
        "wrong_zone": all(each.endswith("Asia/Tokyo") for each in dates) and bool(bars),
        "out_of_range": all(each.startswith("2014") for each in dates) and bool(bars),
        "empty": not bars,
        "duplicates": len(set(dates)) < len(dates),
        "disorder": len(dates) > 1 and dates == sorted(dates, reverse=True),
    }
    assert {name for name, is_so in found.items() if is_so} == {lie}


# errors in answer to requests and orders


async def test_a_request_is_refused_with_the_words_of_the_gateway() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"error": {"code": 162}}, event="reqHistoricalData received")
        await client.say(*history(5))

        assert client.of(4)[-1][2:5] == ["5", "162", TEXTS[162]]
        assert client.of(17) == []


async def test_a_client_that_asks_too_much_is_told_and_sent_away() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"error": {"code": 100}, "close": True}, event="request received")
        await client.say(49, 1)

        assert client.codes()[-1] == 100
        assert client.of(49) == []
        assert not client.session.is_open


@pytest.mark.parametrize("code", [103, 104, 105, 110, 161, 201, 202, 321, 399, 404, 10147, 10148])
async def test_an_order_is_refused_with_any_code_and_its_id_is_used_up(code: int) -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"error": {"code": code}}, event="placeOrder received")
        await client.order(1)
        assert client.codes()[-1] == code
        assert hand.gateway.shared.book.find(1, 1) is None
        assert [each[2] for each in client.of(3)] == (["Inactive"] if code == 201 else [])
        await client.order(1)
        assert client.codes()[-1] == 103


async def test_an_order_lives_on_after_an_error_or_dies_of_it() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"error": {"code": 105, "order": "alive"}}, event="placeOrder received")
        await client.order(1, kind="LMT", limit=400)
        assert client.codes()[-1] == 105
        assert hand.gateway.shared.book.live[(1, 1)].status == "Submitted"
        arm(hand, {"throw_out": {"code": 201}}, event="status sent")
        await client.order(2)
        assert client.codes()[-1] == 201
        assert client.of(11) == []
        assert hand.gateway.shared.book.past(1, 2).status == "Inactive"  # type: ignore[union-attr] # or it fails here


async def test_a_cancel_can_be_refused_while_the_order_works() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await client.order(1, kind="LMT", limit=400)
        arm(hand, {"error": {"code": 161}}, event="cancelOrder received", order_id=1)
        await client.say(4, 1, 1, "")

        assert client.codes()[-1] == 161
        assert (1, 1) in hand.gateway.shared.book.live


async def test_ids_fall_back_on_request() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        for number in (1, 2, 3):
            await client.order(number, kind="LMT", limit=400)
        await hand.do(next_id={"by": 2})
        await client.say(8, 1, 1)

        assert client.of(9)[-1] == ["9", "1", "2"]


# executions


async def filled(hand: Hand) -> Client:
    client = await hand.client()
    await client.order(1)
    assert client.of(11)
    return client


async def test_an_execution_is_corrected_once_more_under_the_next_revision() -> None:
    async with by_hand() as hand:
        client = await filled(hand)
        before = hand.gateway.shared.account.cash
        (old,) = client.of(11)
        await hand.do(correct={"price_by": -1.0, "quantity_by": -40})
        await hand.at_once()

        new = client.of(11)[-1]
        assert new[14] == old[14].removesuffix("01") + "02"
        assert float(new[19]) == 60
        assert float(new[20]) == float(old[20]) - 1
        assert hand.gateway.shared.account.cash > before
        await client.say(7, 3, 9, 0, "", "", "", "", "", "")
        assert [each[14] for each in client.of(11) if each[1] == "9"] == [new[14]]


async def test_an_execution_is_taken_back() -> None:
    async with by_hand() as hand:
        client = await filled(hand)
        await hand.do(bust={"symbol": "AAPL", "after": 2})
        assert hand.gateway.shared.account.held() != []
        await hand.wall(2)

        assert hand.gateway.shared.account.held() == []
        assert hand.gateway.shared.account.cash == 1_000_000
        assert float(client.of(11)[-1][19]) == 0


async def test_an_order_is_filled_beyond_its_quantity() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"overfill": {"quantity": 50, "after": 1}}, event="orderStatus sent", status="Filled")
        await client.order(1)
        await hand.wall(1)

        assert sum(float(each[19]) for each in client.of(11)) == 150
        assert hand.gateway.shared.account.held()[0].quantity == 150


async def test_an_order_is_filled_after_it_was_cancelled() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"fill_after_cancel": {"quantity": 100}}, event="cancel sent")
        await client.order(1, kind="LMT", limit=400)
        await client.say(4, 1, 1, "")
        await hand.at_once()

        kinds = [each[0] for each in client.heard]
        assert client.codes()[-1] == 202
        assert kinds.index("11") > kinds.index("4", kinds.index("5"))
        assert hand.gateway.shared.account.held()[0].quantity == 100


async def test_what_cannot_be_done_when_the_moment_comes_is_told_and_breaks_nothing() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(correct={"price_by": 1})
        await hand.do(bust={})
        await hand.do(overfill={"quantity": 1})
        await hand.at_once()
        await client.say(49, 1)

        assert [each["failed"] for each in hand.fired if "failed" in each] == ["executions"] * 3
        assert client.of(49)


@pytest.mark.parametrize(
    "action",
    [
        {"print": {"symbol": "NOSUCH"}},
        {"bar_bust": {"symbol": "NOSUCH"}},
        {"manual_order": {"symbol": "NOSUCH"}},
        {"throw_out": {"code": 201}},
        {"occupied": {"seconds": 5}},
        {"drop": True},
    ],
)
async def test_what_cannot_be_done_now_is_told_to_who_asks_for_it(action: dict[str, Any]) -> None:
    async with by_hand() as hand:
        with pytest.raises(UsageError):
            await hand.do(**action)


async def test_a_process_is_stopped_for_a_while() -> None:
    async with by_hand() as hand:
        sent: list[int] = []
        hand.gateway.faults.kill = lambda pid, number: sent.append(number)
        hand.gateway.faults.register("executor", 4711)
        await hand.do(signal="STOP", target="executor", cont_after=15)
        await hand.wall(14)
        assert sent == [signal.SIGSTOP]
        await hand.wall(1)
        assert sent == [signal.SIGSTOP, signal.SIGCONT]


async def test_a_person_places_orders_that_no_client_knows() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        await hand.do(manual_order={"symbol": "AAPL", "percent": -10, "quantity": 7})
        await hand.do(manual_order={"symbol": "AAPL", "side": "SELL"})
        await hand.at_once()
        await client.say(16, 1)

        (resting,) = client.of(5)
        assert (resting[1], resting[14]) == ("0", "7")
        assert hand.gateway.shared.account.held()[0].quantity == -100


async def test_an_order_of_a_person_meets_the_same_checks_as_all_others() -> None:
    async with by_hand() as hand:
        await hand.do(manual_order={"symbol": "AAPL", "quantity": 1_000_000})
        await hand.at_once()

        (refusal,) = [each for each in hand.fired if "failed" in each]
        assert str(refusal["reason"]).startswith("201: Order rejected - reason:")
        assert hand.gateway.shared.account.held() == []


# processes and the ledger


async def test_a_fault_waits_for_a_line_of_the_ledger_though_nobody_is_connected(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    async with by_hand(ledger=ledger) as hand:
        client = await hand.client()
        await client.order(1, kind="LMT", limit=400, ref="intent-1")
        sent: list[tuple[int, int]] = []
        hand.gateway.faults.kill = lambda pid, number: sent.append((pid, number))
        hand.gateway.faults.register("executor", 4711)
        arm(hand, {"signal": "SIGKILL", "target": "executor"}, event="fill noted", order_ref="intent-1")
        await client.leave()
        await hand.do(print={"symbol": "AAPL", "percent": -15})
        await hand.at_once()

        assert [pid for pid, _ in sent] == [4711]
        assert '"kind":"fault"' in ledger.read_text()


async def test_market_data_is_followed_by_what_the_client_calls_it() -> None:
    async with by_hand() as hand:
        client = await hand.client()
        arm(hand, {"close": True}, event="tickPrice sent", request_id=8)
        await client.say(1, 11, 7, *APPLE, 0, "", 0, 0, "")
        assert client.session.is_open
        await client.say(1, 11, 8, *APPLE, 0, "", 0, 0, "")
        assert not client.session.is_open
