"""Requests stay within the gateway's limits, in the order they were asked, on the clock that was handed in."""

import asyncio
from datetime import UTC, datetime

import pytest

from infra.clock import ManualClock
from infra.gateway.pacing import Governor, HistoryRequest


class Week:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2013, 2, 28, tzinfo=UTC))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.clock.advance(seconds)


def a_request(identity: str = "a", contract: str = "AAPL", bar_seconds: float = 5, cost: int = 1) -> HistoryRequest:
    return HistoryRequest(identity, contract, bar_seconds, cost)


async def sent_at(governor: Governor, week: Week, *requests: HistoryRequest) -> list[float]:
    times = []
    for request in requests:
        async with governor.history(request):
            times.append(week.clock.monotonic())
    return times


def busiest(times: list[float], seconds: float) -> int:
    """The most requests that lie within any window of that length."""
    return max(sum(begin <= other < begin + seconds for other in times) for begin in times)


async def test_no_ten_minutes_see_more_than_sixty_small_bar_requests() -> None:
    week = Week()
    requests = [a_request(str(n), f"symbol {n}") for n in range(200)]

    times = await sent_at(Governor(week.clock, sleep=week.sleep), week, *requests)

    assert busiest(times, 600) < 60
    assert times[-1] < 2400, "the limit is used, not only kept"


async def test_larger_bars_are_not_held_back() -> None:
    week = Week()
    requests = [a_request(str(n), bar_seconds=60) for n in range(44)]

    assert max(await sent_at(Governor(week.clock, sleep=week.sleep), week, *requests)) == 0


async def test_the_same_request_waits_fifteen_seconds() -> None:
    week = Week()
    times = await sent_at(Governor(week.clock, sleep=week.sleep), week, a_request(), a_request())

    assert times[1] - times[0] > 15


@pytest.mark.parametrize(("cost", "most"), [(1, 5), (2, 2)], ids=["trades", "bid and ask count double"])
async def test_six_requests_for_one_contract_never_fall_into_two_seconds(cost: int, most: int) -> None:
    week = Week()
    requests = [a_request(str(n), cost=cost) for n in range(20)]

    assert busiest(await sent_at(Governor(week.clock, sleep=week.sleep), week, *requests), 2) == most


async def test_messages_of_every_kind_share_forty_five_a_second() -> None:
    week = Week()
    governor = Governor(week.clock, sleep=week.sleep)
    times = []
    for _ in range(200):
        await governor.message()
        times.append(week.clock.monotonic())

    assert busiest(times, 1) == 45


async def test_fifty_history_requests_are_never_open_at_once() -> None:
    week = Week()
    governor = Governor(week.clock, sleep=week.sleep)
    open_now, most = 0, 0

    async def ask(number: int) -> None:
        nonlocal open_now, most
        async with governor.history(a_request(str(number), str(number), bar_seconds=3600)):
            open_now += 1
            most = max(most, open_now)
            for _ in range(100):
                await asyncio.sleep(0)
            open_now -= 1

    await asyncio.gather(*(ask(number) for number in range(120)))
    assert most == 48
