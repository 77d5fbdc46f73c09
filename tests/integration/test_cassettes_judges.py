"""Broken variants of the services: each makes its judge fail, or the judge proves nothing."""

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumers.executor.page import Page
from consumers.executor.reconciliation import Reconciliation
from consumers.executor.sender import Ready, Sender
from infra.bar_replay import read_bars
from infra.gateway import BrokerExecution
from infra.gateway_simulator.faults import cassette
from infra.settings import Settings
from producers.data_farmer.inspection import Inspection
from producers.data_farmer.runs import Run
from schemas.account import TradingMode
from tests.a_ledger import Ledger
from tests.integration.a_judged_desk import Desk, a_judged_desk, impatient  # noqa: F401 # a fixture
from tests.integration.an_order_path import until
from tests.integration.test_cassettes_history import a_farm, differences
from tests.integration.test_collection_crash import asked

pytestmark = pytest.mark.usefixtures("impatient")

_LOOKS = 10


async def _judged(desk: Desk, verdict: str) -> None:
    """Wait until the judge has found that and goes on finding it: while news are on their way, ledgers differ too."""
    in_a_row = 0

    async def stays() -> bool:
        nonlocal in_a_row
        in_a_row = in_a_row + 1 if any(verdict in each for each in await desk.differences()) else 0
        await asyncio.sleep(0.2)
        return in_a_row >= _LOOKS

    await desk.in_mode(TradingMode.ACTIVE)
    await desk.buy("first")
    await desk.played.fired()
    await until(stays, seconds=90)


async def test_an_executor_that_counts_whatever_it_is_told_is_found_out(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, honest = itertools.count(), Page._on_execution

    async def forgetful(self: Any, said: BrokerExecution) -> bool:
        return await honest(self, replace(said, root=f"{said.root}.{next(numbers)}"))

    monkeypatch.setattr(Page, "_on_execution", forgetful)
    async with a_judged_desk(stack_settings, tmp_path, "fills-doubled") as desk:
        await _judged(desk, "positions")


async def test_an_executor_that_adds_corrections_is_found_out(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Page._on_execution

    async def adding(self: Any, said: BrokerExecution) -> bool:
        return await honest(self, replace(said, root=f"{said.root}.{said.revision}", revision=1))

    monkeypatch.setattr(Page, "_on_execution", adding)
    async with a_judged_desk(stack_settings, tmp_path, "execution-quantity-corrected") as desk:
        await _judged(desk, "positions")


async def test_an_executor_that_sends_again_what_it_has_no_answer_for_is_found_out(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, place = Reconciliation._look, Sender.place
    sent: list[tuple[int, Ready]] = []

    async def noted(self: Any, family: list[Ready]) -> None:
        sent.extend((self._gate.gaps, each) for each in family)
        await place(self, family)

    async def blindly(self: Any) -> Any:
        """Whatever has come of it meanwhile: an order on whose connection nothing was heard of it is sent again."""
        for gaps, ready in sent.copy():
            if gaps != self._gate.gaps:
                sent.remove((gaps, ready))
                number = await self._sender.ids.take()
                self._orders.place(number, ready.order.intent)
        return await look(self)

    monkeypatch.setattr(Sender, "place", noted)
    monkeypatch.setattr(Reconciliation, "_look", blindly)
    async with a_judged_desk(stack_settings, tmp_path, "closed-before-acknowledgement") as desk:
        await _judged(desk, "two orders for the intent first")


async def test_a_farmer_that_believes_everything_is_found_out(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inspection, "judged", lambda self, contract, series, bars: (bars, []))
    async with a_farm(stack_settings, tmp_path) as farm:
        farm.simulator.server.gateway.director.load(cassette.load("lying-history-spike"))
        await farm.run("believed", "AAPL")
        assert differences(Ledger.read(farm.simulator.ledger), await read_bars(farm.settings))


async def test_a_farmer_that_asks_again_for_what_it_has_is_found_out(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "refresh", True)
    async with a_farm(stack_settings, tmp_path) as farm:
        await farm.run("first", "AAPL")
        before = asked(farm.simulator)
        await farm.run("second", "AAPL")
        assert asked(farm.simulator) != before
