"""Cancels and changes of working orders: what is asked, how often, what its answers mean, and when it is too late."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from consumers.executor.meaning import facts_of_resolution
from consumers.executor.page import OvertakenError
from consumers.executor.tracking import of_row
from engine.last_look import RefusalCode, sent_of
from engine.order_facts import CancelRequested
from infra.gateway import BrokerError
from infra.kill import Kill, KillFlag, Kills
from schemas.account import TradingMode
from schemas.orders import OrderIntent, OrderStatus, Side
from schemas.resolution import Finding, OrderResolved
from tests.builders import NOON, SEEN, a_change, an_intent
from tests.unit.an_executor_by_hand import ACCOUNT, PATIENCE, Hand

D = Decimal


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return Hand(tmp_path)


def limited(quantity: int = 100, name: str = "intent-1") -> OrderIntent:
    return an_intent(intent_id=name, quantity=D(quantity), order_type="LMT", limit_price=D(430))


def an_exit() -> OrderIntent:
    return an_intent(intent_id="exit", side=Side.SELL, order_type="STP", stop_price=D(420), parent_id="intent-1")


# changes


async def test_a_change_without_an_answer_is_never_written_again_and_then_nobody_knows(hand: Hand) -> None:
    hand.follow(limited())
    assert hand.change(a_change(limited(1000))) is None
    await hand.wait(3 * PATIENCE - 1)
    assert hand.order().status is OrderStatus.NEW
    await hand.wait(1)
    assert hand.order().status is OrderStatus.UNKNOWN
    assert hand.order().facts.most == 1000, "it may have been taken"
    await hand.wait(60)
    assert [order_id for order_id, *_ in hand.socket.placed] == [7]


async def test_each_change_has_its_own_time(hand: Hand) -> None:
    hand.follow(limited())
    hand.change(a_change(limited(200)))
    await hand.wait(3 * PATIENCE - 1)
    hand.tell(hand.order().refused(110, "tick"))
    hand.change(a_change(limited(300), intent_id="change-2"))
    await hand.wait(PATIENCE)
    assert hand.order().status is OrderStatus.NEW


async def test_what_a_change_before_a_gap_came_to_is_told_by_the_comparison(hand: Hand) -> None:
    hand.follow(limited())
    hand.change(a_change(limited(200)))
    await hand.wait(1)
    hand.gate.gap()
    await hand.wait(10 * PATIENCE)
    assert hand.order().wanted is not None, "nobody has compared yet"
    hand.gate.open()
    await hand.wait(PATIENCE - 1)
    assert hand.order().wanted is not None
    await hand.wait(1)
    assert (hand.order().wanted, hand.order().quantity) == (None, D(100))
    assert "old terms" in hand.order().facts.refusal[1]
    assert len(hand.socket.placed) == 1


async def test_after_a_restart_a_change_is_not_written_again(hand: Hand) -> None:
    order = hand.follow(limited())
    hand.tell(order.asked_to_become(a_change(limited(200))))
    await hand.wait(PATIENCE)
    assert hand.order().wanted is not None
    await hand.wait(1)
    assert hand.order().wanted is None
    assert hand.socket.placed == []


async def test_a_late_refusal_of_a_change_does_not_end_the_order(hand: Hand) -> None:
    hand.follow(limited())
    hand.change(a_change(limited(200)))
    await hand.ledger.apply([BrokerError(7, 201, "Order rejected - reason:margin")], 10)
    assert hand.order().facts.refusal[0] == 201
    await hand.ledger.apply([BrokerError(7, 201, "Order rejected - reason:margin")], 10)
    assert (hand.order().status, hand.order().facts.end.rank) == (OrderStatus.NEW, -1)


async def test_an_order_that_nobody_wanted_to_change_is_ended_by_its_refusal(hand: Hand) -> None:
    hand.follow(limited())
    await hand.ledger.apply([BrokerError(7, 201, "Order rejected - reason:margin")], 10)
    assert hand.order().status is OrderStatus.REJECTED


def test_an_exit_is_changed_under_the_parent_that_it_was_sent_with_also_after_a_restart(hand: Hand) -> None:
    order = hand.follow(an_exit(), number=8, parent_number=7)
    row = SimpleNamespace(**order.values(SEEN, 1))
    hand.tell(of_row(row))
    assert hand.change(a_change(an_exit().revised(stop_price=D(425)))) is None
    assert [link.parent_order_id for *_, link in hand.socket.placed] == [7]


async def test_an_executor_that_another_has_overtaken_writes_nothing_and_stops(hand: Hand) -> None:
    hand.follow(limited())
    hand.database.is_current = False
    with pytest.raises(OvertakenError, match="intent-1"):
        await hand.ledger.apply([BrokerError(7, 202, "Order Canceled")], 10)
    assert hand.database.published == []
    assert hand.order().status is OrderStatus.NEW


async def test_cancels_and_orders_together_stay_within_what_ib_hears(hand: Hand) -> None:
    for number in range(60):
        hand.tell(hand.follow(limited(name=f"o-{number}"), number + 1).with_([CancelRequested()]))
    for _ in range(20):
        assert await hand.gate.turn(0) is None
    await hand.wishes.look()
    assert len(hand.socket.cancelled) == 45 - 20
    refusal = await hand.gate.turn(0)
    assert refusal is not None
    assert refusal.code is RefusalCode.THROTTLED
    await hand.wait(1)
    assert len(hand.socket.cancelled) == 60


# what stops it


def killed(home: Path) -> None:
    KillFlag(home).write(Kills().with_(Kill(kill_id="k", scope="global", reason="r", by="ann", at=NOON)))


def test_a_change_is_not_written_when_trading_was_stopped_or_its_approval_has_ended(hand: Hand) -> None:
    order = hand.follow(limited())
    change = a_change(limited(1000))
    approval = hand.approval(change)
    asked = order.asked_to_become(change)
    hand.mode(TradingMode.HALTED)
    assert "halted" in str(hand.wishes._change(asked, approval))
    hand.mode(TradingMode.REDUCING)
    assert "reduce" in str(hand.wishes._change(asked, approval))
    hand.mode(TradingMode.ACTIVE)
    hand.clock.advance(approval.expires_after.total_seconds())
    assert hand.wishes._change(asked, approval) == "the approval has expired"
    assert hand.socket.placed == []
    assert hand.wishes._change(asked, hand.approval(change)) is None


def test_the_legs_of_a_bracket_count_against_each_other(hand: Hand) -> None:
    entry, stop = limited(), an_exit()
    approval = hand.approval(entry)
    tight = approval.basis.limits.model_copy(update={"orders_per_minute_max": 1})  # type: ignore[union-attr]  # it has
    approval = approval.model_copy(update={"basis": approval.basis.model_copy(update={"limits": tight})})
    assert hand.sender.why_not(approval, entry) is None
    beside = [sent_of(entry, hand.clock.now())]
    assert str(hand.sender.why_not(approval, stop, beside)).startswith("order_rate")


async def test_an_order_is_not_written_when_trading_was_stopped_after_it_was_spent(hand: Hand) -> None:
    ready = hand.ready(limited())
    hand.mode(TradingMode.HALTED)
    await hand.sender.place([ready])
    assert hand.socket.placed == []
    assert "halted" in hand.order().facts.explanation[1]
    assert hand.order().status is OrderStatus.EXPIRED


async def test_an_order_is_not_written_when_its_approval_has_ended_while_it_was_spent(hand: Hand) -> None:
    ready = hand.ready(limited())
    hand.clock.advance(2.0)
    await hand.sender.place([ready])
    assert hand.socket.placed == []
    assert hand.order().facts.explanation[1] == "not sent: the approval has expired"


async def test_after_a_kill_nothing_is_written_but_cancels(hand: Hand, tmp_path: Path) -> None:
    hand.follow(limited())
    killed(tmp_path)
    assert hand.change(a_change(limited(200))) is not None
    hand.tell(hand.order().with_([CancelRequested()]))
    await hand.wait(1)
    assert (hand.socket.placed, hand.socket.cancelled) == ([], [7])


async def test_what_was_approved_before_a_kill_goes_out_neither_while_it_stands_nor_once_it_was_lifted(
    hand: Hand, tmp_path: Path
) -> None:
    ready, flag = hand.ready(limited()), KillFlag(tmp_path)
    order = hand.follow(limited(), number=8)
    change = a_change(limited(200))
    approved = hand.approval(change)
    killed(tmp_path)
    hand.clock.advance(0.5)
    flag.write(flag.read().without(["global"], hand.clock.now()))

    await hand.sender.place([ready])
    assert "before the kill of global was lifted" in str(hand.wishes._change(order.asked_to_become(change), approved))
    refusal = hand.sender.why_not(ready.decision, limited())
    assert refusal is not None
    assert refusal.code is RefusalCode.KILLED
    assert hand.socket.placed == []

    hand.clock.advance(0.1)
    assert hand.wishes._change(order.asked_to_become(change), hand.approval(change)) is None


# cancels


async def test_a_cancel_is_asked_for_three_times_and_then_nobody_knows(hand: Hand) -> None:
    order = hand.follow(limited())
    hand.tell(order.with_([CancelRequested()]))
    await hand.wait(1)
    assert hand.socket.cancelled == [7]
    await hand.wait(3 * PATIENCE)
    assert hand.socket.cancelled == [7, 7, 7]
    assert hand.order().status is OrderStatus.UNKNOWN


async def test_a_cancel_waits_for_the_socket_and_does_not_count_until_it_was_written(hand: Hand) -> None:
    order = hand.follow(limited())
    hand.socket.is_there = False
    hand.tell(order.with_([CancelRequested()]))
    await hand.wait(20 * PATIENCE)
    assert hand.order().status is OrderStatus.PENDING_CANCEL
    hand.socket.is_there = True
    await hand.wait(1)
    assert hand.socket.cancelled == [7]


@pytest.mark.parametrize(
    ("finding", "status"), [(Finding.ENDED, OrderStatus.CANCELED), (Finding.WORKING, OrderStatus.NEW)]
)
async def test_a_person_may_have_seen_what_the_broker_did_not_say(
    hand: Hand, finding: Finding, status: OrderStatus
) -> None:
    hand.follow(limited())
    hand.change(a_change(limited(200)))
    await hand.wait(3 * PATIENCE)
    assert hand.order().status is OrderStatus.UNKNOWN
    said = {"account_id": ACCOUNT, "order_id": "intent-1", "finding": finding, "reason": "in TWS", "by": "ann"}
    told = OrderResolved(**said, event_time=NOON, ingest_time=SEEN)
    hand.tell(hand.order().with_(facts_of_resolution(told, hand.order())))
    hand.wishes.forget("intent-1")
    assert hand.order().status is status
    await hand.wait(PATIENCE + 1)
    assert (hand.order().wanted is None) == (finding is Finding.WORKING)
