"""What the data farmer does not ask twice: what is under way already, and what the account may not have."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.settings import Settings
from producers.data_farmer.collector import CHUNKS_AT_ONCE
from producers.data_farmer.flights import Flights
from schemas.collection import RunState, SymbolCollected
from tests.integration.a_gateway import Peer, scripted_gateway
from tests.integration.test_data_farmer import _describe, _history, a_collection, everything, farming

YEARS_AGO = datetime(2010, 1, 1, tzinfo=UTC)
DAYS = [
    (f"201302{day:02}", 80, 82, 79, 81, 10 + day)
    for day in (1, *range(4, 9), *range(11, 16), *range(19, 23), 25, 26, 27)
]
REFUSALS = [
    (162, "Historical Market Data Service error message:No market data permissions for ISLAND STK"),
    (354, "Requested market data is not subscribed."),
]


async def test_what_another_run_is_being_told_is_waited_for(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_asked = asyncio.Event()
    planned, honest = [], Flights.landed

    async def noted(self: Flights, *what: Any) -> Any:
        planned.append(what)
        return await honest(self, *what)

    monkeypatch.setattr(Flights, "landed", noted)

    async def answer(peer: Peer, fields: list[str]) -> None:
        async def say() -> None:
            await both_asked.wait()
            peer.say(*_history(fields[1], DAYS))

        said.append(asyncio.create_task(say()))

    said: list[asyncio.Task[None]] = []
    async with scripted_gateway() as gateway, farming(stack_settings, gateway.port) as asker:
        _describe(gateway)
        gateway.answers[20] = answer
        first = asyncio.create_task(asker.run(a_collection("run-1", "AAPL")))
        await until(lambda: gateway.requests(20) != [])
        shorter = a_collection("run-2", "AAPL", end=datetime(2013, 2, 23, tzinfo=UTC))
        second = asyncio.create_task(asker.run(shorter))
        third = asyncio.create_task(asker.run(a_collection("run-3", "AAPL", refresh=True)))
        await until(lambda: len(planned) == 3)
        both_asked.set()
        one, two, three = await first, await second, await third

    assert len(gateway.requests(20)) == 1
    assert (one.gateway_requests, one.bars_published, one.requests_saved) == (2, 18, 0)
    assert (two.gateway_requests, two.chunks_done, two.requests_saved) == (0, 1, 2)
    assert (two.sessions, two.sessions_complete, three.sessions_complete) == (15, 15, 18)


@pytest.mark.parametrize(("code", "text"), REFUSALS)
async def test_data_without_permission_are_asked_for_once_and_the_code_is_told(
    stack_settings: Settings, code: int, text: str
) -> None:
    def refuse(peer: Peer, fields: list[str]) -> None:
        peer.error(fields[1], code, text)

    async with scripted_gateway() as gateway, farming(stack_settings, gateway.port) as asker:
        _describe(gateway)
        gateway.answers[20] = refuse
        told = await asker.run(a_collection("run-1", "AAPL", start=YEARS_AGO, bar_size=timedelta(minutes=1)))
    (outcome,) = (
        each for each in await everything(stack_settings, "collection.chunks.v1") if isinstance(each, SymbolCollected)
    )

    assert told.state is RunState.FAILED
    assert told.retries == 0
    assert told.chunks > 700, "a session each"
    assert len(gateway.requests(20)) <= CHUNKS_AT_ONCE, "those that were under way, and nothing after them"
    assert len(gateway.requests(20)) == len({tuple(fields[2:]) for fields in gateway.requests(20)}), (
        "none of them again"
    )
    assert f"answered {code}: {text}" in told.failures["AAPL"]
    assert [gap.reason for gap in outcome.gaps] == [f"not collected: the IB gateway answered {code}: {text}"]


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)
