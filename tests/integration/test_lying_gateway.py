"""A gateway that says what is not true: tables keep the truth, findings tell the rest, the next answer heals."""

import asyncio
from collections import Counter

import polars as pl

from consumers.persister import build as build_persister
from infra.bar_replay import read_bars
from infra.gateway_simulator.faults.cassette import load
from infra.quality.rules import RULES, Effect
from infra.settings import Settings
from infra.store.bars import read_bars as stored_bars
from infra.store.database import Store
from infra.store.findings import Findings, finding_page
from schemas.collection import CollectionRun, RunState
from schemas.market import Quarantined, QuarantineRule
from tests.integration.a_gateway import simulator
from tests.integration.test_data_farmer import a_collection, everything, farming
from tests.integration.test_service import running

DAYS = 18
LIES: dict[str, tuple[str, dict[QuarantineRule, int]]] = {
    "impossible": ("AAPL", {QuarantineRule.OHLC_RANGE: DAYS}),
    "not-a-number": ("IBM", {QuarantineRule.NOT_FINITE: 6}),
    "negative-volume": ("MSFT", {QuarantineRule.NEGATIVE_SIZE: DAYS}),
    "spike": ("GOOG", {QuarantineRule.BAD_PRINT: 1}),
    "out-of-range": ("FB", {QuarantineRule.FROM_THE_FUTURE: DAYS + 4}),  # IB answers in whole weeks
    "empty": ("NVDA", {QuarantineRule.EMPTY_ANSWER: 1}),
    "duplicates": ("INTC", {QuarantineRule.CONTRADICTION: 6}),
    "disorder": ("CSCO", {}),
}


async def test_no_lie_about_the_past_reaches_a_table_and_the_truth_does_afterwards(stack_settings: Settings) -> None:
    runs: dict[str, tuple[CollectionRun, int, CollectionRun]] = {}
    async with simulator() as gateway, farming(stack_settings, gateway.port) as asker:
        for lie, (symbol, _) in LIES.items():
            gateway.gateway.director.load(load(f"lying-history-{lie}"))
            lied = await asker.run(a_collection(f"{lie}-1", symbol))
            believed = len(await read_bars(stack_settings)) - DAYS * len(runs)
            runs[lie] = (lied, believed, await asker.run(a_collection(f"{lie}-2", symbol, refresh=True)))
        true = await read_bars(stack_settings)
        events = await everything(stack_settings, "market.quarantine.v1")
        findings = {each.quarantine_id: each for each in events if isinstance(each, Quarantined)}
        async with running(build_persister(stack_settings)):
            stored = await _stored(stack_settings, len(true), len(findings))

    for lie, (symbol, expected) in LIES.items():
        lied, believed, healed = runs[lie]
        found = Counter(each.rule for each in findings.values() if each.symbol == symbol)
        assert {rule: count for rule, count in found.items() if rule in expected} == expected, lie
        assert lied.quarantined == sum(n for rule, n in found.items() if RULES[rule].effect is Effect.KEPT_OUT), lie
        assert (healed.state, healed.bars_received) == (RunState.DONE, DAYS), lie
        assert healed.bars_published == DAYS - believed, f"what was believed of {lie} was true"
    assert len(true) == DAYS * len(LIES)
    assert stored.equals(true)


async def _stored(settings: Settings, bars: int, findings: int) -> pl.DataFrame:
    """The table, once the persister has taken in everything."""
    store = Store(settings, "data_farmer")
    try:
        async with asyncio.timeout(30):
            while True:
                async with store.reading() as connection:
                    frame = await stored_bars(connection)
                    rows = len(await finding_page(connection, Findings(), 1000))
                if (len(frame), rows) == (bars, findings):
                    return frame
                await asyncio.sleep(0.05)
    finally:
        await store.close()
