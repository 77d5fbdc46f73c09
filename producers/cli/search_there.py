"""A search for parameters by the backtester: asked for on the topics, followed, and stopped."""

from infra.clock import SystemClock
from infra.embedded.running import running_settings
from infra.errors import EnvironmentUnhealthyError, ScizorError, UsageError
from infra.replay import fold
from infra.settings import Settings
from infra.topics import load_catalogue
from producers.cli.config import load_settings
from producers.cli.desk import Desk
from producers.cli.records import run as run_with_kafka
from producers.cli.search_view import SearchLine
from schemas.event import Event
from schemas.research import (
    OptimizationCanceled,
    OptimizationFinished,
    OptimizationProgress,
    OptimizationRequested,
)

_SILENCE_SECONDS = 120.0
_SECONDS_MAX = 7 * 3600.0


class SearchFailedError(ScizorError):
    """The backtester said that it could not."""


def search(request: OptimizationRequested) -> OptimizationFinished:
    """Publish the request and wait for its result; progress goes to stderr."""
    return ask(running_settings(load_settings(), needs_database=False), request)


def ask(settings: Settings, request: OptimizationRequested) -> OptimizationFinished:
    """The same, of the system that `settings` reach."""
    return run_with_kafka(_followed(settings, request.optimization_id, request), settings)


def wait_for(optimization_id: str) -> OptimizationFinished:
    """The result of a search that was asked for before. UsageError when nobody knows it."""
    settings = running_settings(load_settings(), needs_database=False)
    return run_with_kafka(_awaited(settings, optimization_id), settings)


def cancel(optimization_id: str) -> None:
    """Say that nobody wants the result any more. UsageError when nobody knows it."""
    settings = running_settings(load_settings(), needs_database=False)
    run_with_kafka(_cancel(settings, optimization_id), settings)


async def _awaited(settings: Settings, optimization_id: str) -> OptimizationFinished:
    known = False
    async for event, _ in fold(settings, _topics(OptimizationRequested, OptimizationFinished)):
        if getattr(event, "optimization_id", "") == optimization_id:
            known = True
            if isinstance(event, OptimizationFinished):
                return _succeeded(event)
    if not known:
        raise UsageError(f"no search {optimization_id!r} began here or in the backtester")
    return await _followed(settings, optimization_id, None)


async def _followed(
    settings: Settings, optimization_id: str, request: OptimizationRequested | None
) -> OptimizationFinished:
    async with Desk(settings) as desk:
        feed = await desk.feed(_topics(OptimizationProgress, OptimizationFinished))
        if request is not None:
            await desk.publish(request)
        with SearchLine(desk.clock) as line:
            async for told in feed.events(_SECONDS_MAX, idle_seconds=_SILENCE_SECONDS):
                if isinstance(told, OptimizationFinished) and told.optimization_id == optimization_id:
                    return _succeeded(told)
                if isinstance(told, OptimizationProgress) and told.optimization_id == optimization_id:
                    line(told.phase, told.done, told.total, told.best)
    raise EnvironmentUnhealthyError(
        f"the backtester has said nothing about {optimization_id} for {_SILENCE_SECONDS:.0f} s: `scizor status` shows "
        f"whether it runs; the request is not lost, `scizor optimize --resume {optimization_id}` waits for it"
    )


def _topics(*events: type[Event]) -> list[str]:
    return [load_catalogue().topic_of(each).name for each in events]


def _succeeded(told: OptimizationFinished) -> OptimizationFinished:
    if told.succeeded:
        return told
    raise SearchFailedError(told.error)


async def _cancel(settings: Settings, optimization_id: str) -> None:
    known = [
        event
        async for event, _ in fold(settings, _topics(OptimizationRequested, OptimizationFinished))
        if getattr(event, "optimization_id", "") == optimization_id
    ]
    if not any(isinstance(event, OptimizationRequested) for event in known):
        raise UsageError(f"no search {optimization_id!r} began in the backtester: one right here is stopped by Ctrl-C")
    if any(isinstance(event, OptimizationFinished) for event in known):
        raise UsageError(f"search {optimization_id} has ended already")
    now = SystemClock().now()
    async with Desk(settings) as desk:
        await desk.publish(
            OptimizationCanceled(event_time=now, ingest_time=now, optimization_id=optimization_id, by="cli")
        )
