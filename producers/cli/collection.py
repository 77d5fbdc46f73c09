"""A collection request from the command line: published, followed until it is done, told about on stderr."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from infra.clock import SystemClock
from infra.errors import EnvironmentUnhealthyError, ScizorError, UsageError
from infra.settings import Settings
from infra.symbol_names import AMBIGUOUS_SYMBOL, UNKNOWN_SYMBOL
from producers.cli.desk import Desk
from producers.cli.progress import GATEWAY, ProgressLine
from producers.cli.records import run as run_with_kafka
from schemas.collection import (
    CollectDaily,
    CollectHistory,
    CollectionRun,
    RunState,
    SymbolCollected,
    ValidateSymbols,
)
from schemas.event import Event
from schemas.registry import ChangeSymbol, PopulateSymbols, RemoveSymbol

Request = CollectDaily | CollectHistory | ValidateSymbols | PopulateSymbols | ChangeSymbol | RemoveSymbol

_RUNS = "collection.runs.v1"
_CHUNKS = "collection.chunks.v1"
_LAST_WORDS_SECONDS = 10.0
"""For outcomes that come after the end of their run: it is told on another topic."""
_ANSWER_SECONDS = 30.0
_SILENCE_SECONDS = 900.0
_DAY_SECONDS = 86_400.0
_FINISHED = (RunState.DONE, RunState.FAILED)


class SymbolsRefusedError(UsageError):
    """No contract, or several, go by the names that were given."""


class RunFailedError(ScizorError):
    """The run ended without what was asked."""


def carry_out(settings: Settings, request: Request) -> CollectionRun:
    """Publish the request and wait for the end of its run; progress goes to stderr."""
    with ProgressLine(SystemClock()) as show:
        return run_with_kafka(_carry_out(settings, request, show), settings)


async def _carry_out(settings: Settings, request: Request, show: Callable[[CollectionRun], None]) -> CollectionRun:
    async with Desk(settings) as desk:
        feed = await desk.feed([_RUNS])
        await desk.publish(request)
        seconds = _ANSWER_SECONDS
        events = feed.events(_DAY_SECONDS)
        while True:
            told = await _next(events, request.run_id, seconds)
            show(told)
            if told.state in _FINISHED:
                return told
            seconds = _SILENCE_SECONDS


@dataclass
class Collected:
    """A run of bars as far as it has been told."""

    run: CollectionRun
    outcomes: dict[str, SymbolCollected] = field(default_factory=dict)
    """By symbol."""

    @property
    def is_whole(self) -> bool:
        return self.run.state in _FINISHED and len(self.outcomes) >= self.run.symbols_done


Watch = Callable[[Collected], None]


def collect(settings: Settings, request: CollectHistory | CollectDaily, watch: Watch) -> Collected:
    """Publish the request and follow its run to the end; `watch` is called at each news."""
    return run_with_kafka(_collect(settings, request, watch), settings)


async def _collect(settings: Settings, request: CollectHistory | CollectDaily, watch: Watch) -> Collected:
    async with Desk(settings) as desk:
        feed = await desk.feed([_RUNS, _CHUNKS])
        await desk.publish(request)
        events = feed.events(_DAY_SECONDS)
        told: Collected | None = None
        early: dict[str, SymbolCollected] = {}
        while True:
            try:
                async with asyncio.timeout(_patience(told)):
                    event = await anext(events)
            except (TimeoutError, StopAsyncIteration):
                if told is not None and told.run.state in _FINISHED:
                    return told
                raise _silence(request.run_id, _patience(told)) from None
            if isinstance(event, SymbolCollected) and event.run_id == request.run_id:
                early[event.symbol] = event
            elif isinstance(event, CollectionRun) and event.run_id == request.run_id:
                told = Collected(event, early)
            if told is not None:
                watch(told)
                if told.is_whole:
                    return told


def _patience(told: Collected | None) -> float:
    if told is None:
        return _ANSWER_SECONDS
    return _LAST_WORDS_SECONDS if told.run.state in _FINISHED else _SILENCE_SECONDS


def _silence(run_id: str, seconds: float) -> EnvironmentUnhealthyError:
    return EnvironmentUnhealthyError(
        f"the data farmer has said nothing about run {run_id} for {seconds:.0f} s: "
        "`scizor status` shows whether it runs, `scizor logs data_farmer` what it does; the run itself is not lost"
    )


async def _next(events: AsyncIterator[Event], run_id: str, seconds: float) -> CollectionRun:
    try:
        async with asyncio.timeout(seconds):
            async for event in events:
                if isinstance(event, CollectionRun) and event.run_id == run_id:
                    return event
    except TimeoutError:
        pass
    raise _silence(run_id, seconds)


def complain(told: CollectionRun) -> None:
    """Raise when symbols were left out; UsageError when it was their names."""
    if not told.failures:
        return
    text = "; ".join(f"{symbol}: {why}" for symbol, why in told.failures.items())
    if all(why.startswith((UNKNOWN_SYMBOL, AMBIGUOUS_SYMBOL)) for why in told.failures.values()):
        raise SymbolsRefusedError(text)
    if GATEWAY in told.failures:
        raise EnvironmentUnhealthyError(f"the IB gateway is missing: {told.failures[GATEWAY]}")
    raise RunFailedError(text)
