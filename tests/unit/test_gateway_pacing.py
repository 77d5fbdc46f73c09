"""Requests get their turns within the gateway's limits, by priority and in the order they were asked."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable

import pytest

from infra.gateway.pacing import Governor, HistoryRequest, TurnMissedError
from infra.gateway.slots import MESSAGES_A_SECOND, ClientSlot
from infra.gateway.windows import Limits, Pacing, Priority
from tests.time_machine import LoopClock, in_no_time

LATENCY = 0.2


def a_request(identity: str = "a", contract: str = "AAPL", bar_seconds: float = 5, cost: int = 1) -> HistoryRequest:
    return HistoryRequest(identity, contract, bar_seconds, cost)


def many(count: int, bar_seconds: float = 5) -> list[HistoryRequest]:
    return [a_request(str(number), f"symbol {number}", bar_seconds) for number in range(count)]


def now() -> float:
    return asyncio.get_running_loop().time()


async def sent_at(governor: Governor, *requests: HistoryRequest, answered_after: float = LATENCY) -> list[float]:
    """When each was let through; all are asked at once."""
    times: list[float] = []

    async def ask(request: HistoryRequest) -> None:
        async with governor.history(request):
            times.append(now())
            await asyncio.sleep(answered_after)

    await asyncio.gather(*(ask(request) for request in requests))
    return times


def timed(*requests: HistoryRequest, pacing: Pacing = Pacing.TODAY, answered_after: float = LATENCY) -> list[float]:
    async def work() -> list[float]:
        return await sent_at(Governor(LoopClock(), pacing=pacing), *requests, answered_after=answered_after)

    return in_no_time(work())


def busiest(times: list[float], seconds: float) -> int:
    """The most requests that lie within any window of that length."""
    return max(sum(begin <= other < begin + seconds for other in times) for begin in times)


def test_no_ten_minutes_see_more_than_sixty_small_bar_requests() -> None:
    times = timed(*many(200))

    assert busiest(times, 600) == 60
    assert times[-1] < 1803, "the limit is used, not only kept"


@pytest.mark.parametrize(
    ("pacing", "seconds"), [(Pacing.STRICT, 600.0), (Pacing.TODAY, 0.0), (Pacing.OFF, 0.0)], ids=str
)
def test_larger_bars_are_counted_in_strict_mode_only(pacing: Pacing, seconds: float) -> None:
    times = timed(*many(100, bar_seconds=86_400), pacing=pacing)

    assert seconds <= max(times) < seconds + 4


def test_without_pacing_fifty_open_requests_are_the_only_limit() -> None:
    assert max(timed(*many(100), pacing=Pacing.OFF)) == pytest.approx(LATENCY)


def test_the_same_request_waits_fifteen_seconds_from_its_answer() -> None:
    first, second = timed(a_request(), a_request(), answered_after=3)

    assert second - first > 18


@pytest.mark.parametrize(("cost", "most"), [(1, 5), (2, 2)], ids=["trades", "bid and ask count double"])
def test_six_requests_for_one_contract_never_fall_into_two_seconds(cost: int, most: int) -> None:
    times = timed(*(a_request(str(n), cost=cost) for n in range(20)))

    assert busiest(times, 2) == most


def test_who_waits_for_its_own_contract_lets_others_pass() -> None:
    async def work() -> float:
        governor = Governor(LoopClock())
        held = asyncio.create_task(sent_at(governor, *(a_request(str(n)) for n in range(8))))
        await asyncio.sleep(0)
        (passed,) = await sent_at(governor, a_request("x", "IBM"))
        await held
        return passed

    assert in_no_time(work()) == 0


def test_messages_of_every_kind_share_fifty_a_second() -> None:
    async def work() -> list[float]:
        governor = Governor(LoopClock())
        times = []
        for number in range(200):
            if number % 2:
                await governor.message()
            else:
                async with governor.history(a_request(str(number), str(number), 3600)):
                    pass
            times.append(now())
        return times

    times = in_no_time(work())
    assert busiest(times, 1) == 50
    assert times[-1] < 3.1


def test_the_connections_together_keep_to_what_the_gateway_takes() -> None:
    assert set(MESSAGES_A_SECOND) == set(ClientSlot)
    assert sum(MESSAGES_A_SECOND.values()) == 50


def test_fifty_history_requests_are_never_open_at_once() -> None:
    async def work() -> int:
        governor = Governor(LoopClock(), pacing=Pacing.OFF)
        open_now, most = 0, 0

        async def ask(request: HistoryRequest) -> None:
            nonlocal open_now, most
            async with governor.history(request):
                open_now += 1
                most = max(most, open_now)
                await asyncio.sleep(LATENCY)
                open_now -= 1

        await asyncio.gather(*(ask(request) for request in many(120)))
        return most

    assert in_no_time(work()) == 50


# priorities


async def _order_of_turns(asked: list[tuple[str, Priority]]) -> list[str]:
    """Names in the order of their turns, when all wait for one message a second."""
    governor = Governor(LoopClock(), limits=Limits(messages_per_second=1))
    await governor.message()
    turns: list[str] = []

    async def ask(name: str, priority: Priority) -> None:
        await governor.message(priority)
        turns.append(name)

    await asyncio.gather(*(ask(name, priority) for name, priority in asked))
    return turns


def test_orders_come_before_live_data_before_daily_before_backfill_each_in_the_order_asked() -> None:
    asked = [
        ("backfill 1", Priority.BACKFILL),
        ("daily 1", Priority.DAILY),
        ("backfill 2", Priority.BACKFILL),
        ("live 1", Priority.LIVE),
        ("order 1", Priority.ORDERS),
        ("daily 2", Priority.DAILY),
        ("order 2", Priority.ORDERS),
    ]

    turns = in_no_time(_order_of_turns(asked))

    assert turns == ["order 1", "order 2", "live 1", "daily 1", "daily 2", "backfill 1", "backfill 2"]


def test_what_comes_last_is_slowed_down_but_not_starved() -> None:
    asked = [(f"live {n}", Priority.LIVE) for n in range(40)]

    turns = in_no_time(_order_of_turns([*asked, ("backfill 1", Priority.BACKFILL), ("backfill 2", Priority.BACKFILL)]))

    assert [turns.index("backfill 1"), turns.index("backfill 2")] == [9, 19]


def test_a_request_that_needs_two_places_is_not_overtaken_for_ever_by_those_that_need_one() -> None:
    async def work() -> tuple[float, float]:
        governor = Governor(LoopClock(), pacing=Pacing.STRICT)
        await sent_at(governor, *many(60))
        late: dict[str, float] = {}

        async def ask(name: str, cost: int) -> None:
            async with governor.history(a_request(name, name, cost=cost)):
                late[name] = now()

        await asyncio.gather(ask("double", 2), *(ask(f"single {n}", 1) for n in range(58)))
        return late["double"], min(when for name, when in late.items() if name != "double")

    double, single = in_no_time(work())
    assert double <= single


# what goes wrong


def test_a_request_that_never_has_its_turn_says_so_in_time() -> None:
    async def work() -> float:
        governor = Governor(LoopClock(), pacing=Pacing.STRICT)
        await sent_at(governor, *many(60))
        begun = now()
        with pytest.raises(TurnMissedError, match="no turn at the gateway within 30 s"):
            async with governor.history(a_request("late", "late"), patience_seconds=30):
                pass
        assert governor.waiting == 0
        return now() - begun

    assert in_no_time(work()) == pytest.approx(30, abs=0.1)


def test_a_complaint_silences_questions_about_the_past_for_longer_each_time_in_a_row() -> None:
    async def work() -> list[float]:
        governor = Governor(LoopClock())
        times = []
        for number in range(5):
            async with governor.history(a_request(str(number), str(number))):
                times.append(now())
                if number < 3:
                    governor.complained()
                    governor.complained()  # about what was sent before the first one was heard
                    await governor.message()  # other messages go on
                    assert now() == times[-1]
        return times

    times = in_no_time(work())
    waits = [round(later - earlier) for earlier, later in itertools.pairwise(times)]
    assert waits == [15, 15, 15, 0]


def test_complaints_that_follow_each_other_double_the_silence() -> None:
    async def work() -> list[float]:
        governor = Governor(LoopClock())
        times = []
        for number in range(4):
            with contextlib.suppress(LookupError):
                async with governor.history(a_request(str(number), str(number))):
                    times.append(now())
                    governor.complained()
                    raise LookupError
        return times

    times = in_no_time(work())
    assert [round(later - earlier) for earlier, later in itertools.pairwise(times)] == [15, 30, 60]


def test_what_a_former_process_asked_is_counted() -> None:
    async def work() -> list[float]:
        governor = Governor(LoopClock())
        await asyncio.sleep(1000)
        governor.recall([599.0] * 20 + [100.0] * 30)
        begun = now()
        return [when - begun for when in await sent_at(governor, *many(60))]

    times = in_no_time(work())
    assert sum(when < 0.5 for when in times) == 10
    assert sum(when < 3 for when in times) == 30
    assert max(times) == pytest.approx(500, abs=1)


@pytest.mark.parametrize("before_its_turn", [True, False])
def test_a_request_that_is_cancelled_leaves_its_place(before_its_turn: bool) -> None:
    async def work() -> None:
        governor = Governor(LoopClock(), limits=Limits(open_history=1))
        gate = asyncio.Event()

        async def hold(condition: Callable[[], Awaitable[object]]) -> None:
            async with governor.history(a_request("held", "held")):
                await condition()

        first = asyncio.create_task(hold(gate.wait))
        second = asyncio.create_task(hold(gate.wait))
        await asyncio.sleep(0)
        (second if before_its_turn else first).cancel()
        gate.set()
        await asyncio.wait([first, second])
        await sent_at(governor, *many(3))
        assert governor.waiting == 0

    in_no_time(work())
