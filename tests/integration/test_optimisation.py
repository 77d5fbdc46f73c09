"""Searches on real Kafka and PostgreSQL: by the backtester, from the command line, through a crash."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg

from consumers.backtester.backtester import Backtester
from consumers.backtester.optimiser import Optimiser
from infra.clock import SystemClock
from infra.service import Service
from infra.settings import Settings
from infra.studies import StudyMemory, in_database
from infra.trial_book import TrialBook
from producers.cli import search_there, trial_ledger
from schemas.backtest import Trial
from schemas.research import (
    OptimizationCanceled,
    OptimizationContinued,
    OptimizationFinished,
    OptimizationProgress,
)
from tests.builders import SEEN
from tests.integration.test_backtester import a_market, events_of, send
from tests.unit.test_answer import a_request
from tests.unit.test_optimisation import an_optimization

REQUESTS = "research.requests.v1"


@contextlib.asynccontextmanager
async def searching(settings: Settings, *, slice_seconds: float = 30.0) -> AsyncIterator[Service]:
    service = Service("backtester", settings)
    backtester = Backtester(service)
    backtester.wire()
    Optimiser(service, backtester.gate, workers=1, slice_seconds=slice_seconds).wire()
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(30):
            while service.why_not_ready():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield service
        assert not task.done(), task.exception()
    finally:
        service.stop()
        await task


async def result_of(settings: Settings, optimization_id: str) -> OptimizationFinished:
    async with asyncio.timeout(60):
        while True:
            for event in await events_of(settings, "research.results.v1"):
                if isinstance(event, OptimizationFinished) and event.optimization_id == optimization_id:
                    return event
            await asyncio.sleep(0.1)


def _set(parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    return parameters["fast"], parameters["slow"]


async def test_a_search_goes_on_in_slices_and_in_another_process_and_comes_to_the_same_end(
    stack_settings: Settings,
) -> None:
    await a_market(stack_settings)
    backtest = a_request(symbols=("AAPL",), parameters={})
    whole = an_optimization(optimization_id="whole", backtest=backtest, method="tpe", trials=40, batch=8)
    cut = whole.revised(optimization_id="cut")
    unwanted = whole.revised(optimization_id="unwanted", method="grid", trials=None)
    canceled = OptimizationCanceled(event_time=SEEN, ingest_time=SEEN, optimization_id="unwanted", by="me")

    async with searching(stack_settings):
        await send(stack_settings, REQUESTS, [unwanted, canceled])
        first = await asyncio.to_thread(search_there.ask, stack_settings, whole)  # as the command line does
        gone = await result_of(stack_settings, "unwanted")
    assert len(first.result["trials"]) == 40
    assert not gone.succeeded
    assert gone.error == "canceled by me"

    async with searching(stack_settings, slice_seconds=0.0):  # every look at the clock ends a slice
        await send(stack_settings, REQUESTS, [cut])
        async with asyncio.timeout(60):
            while sum(isinstance(e, OptimizationContinued) for e in await events_of(stack_settings, REQUESTS)) < 3:
                await asyncio.sleep(0.05)
    async with searching(stack_settings):
        second = await result_of(stack_settings, "cut")
    assert second.succeeded, second.error
    assert second.trials_hash == first.trials_hash

    ledger = [each for each in await events_of(stack_settings, "research.trials.v1") if isinstance(each, Trial)]
    assert {_set(each.parameters) for each in ledger} == {_set(each["parameters"]) for each in first.result["trials"]}
    told = await events_of(stack_settings, "research.progress.v1")
    assert any(isinstance(each, OptimizationProgress) and each.done == each.total == 40 for each in told)
    database = await asyncpg.connect(stack_settings.database_url.get_secret_value())
    studies = await database.fetch("SELECT study_name FROM optuna.studies ORDER BY 1")
    await database.close()
    assert {"whole/all", "cut/all"} <= {row[0] for row in studies}
    with in_database(stack_settings) as storage:
        memory = StudyMemory(storage, "whole/all", ["maximize"], SystemClock())
    assert len(memory.known) == len({str(each["parameters"]) for each in first.result["trials"]})

    book = TrialBook(stack_settings.home)
    book.append([ledger[0].revised(trial_id="from a file")])
    await asyncio.to_thread(trial_ledger.hand_over, stack_settings)
    assert book.trials() == []
    every = await asyncio.to_thread(trial_ledger.every_trial, stack_settings)
    assert "from a file" in {each.trial_id for each in every}
