"""What the data commands do: look into the database, decide in the name of a person, write files."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.bar_files import WRITERS
from infra.bar_moments import first_moment, last_moment, zone_of
from infra.clock import SystemClock
from infra.corporate_actions import Terms, action_of, next_revision
from infra.coverage import Coverage, coverage_of
from infra.errors import ScizorError, UsageError
from infra.quality.release import released_bar
from infra.served_history import EMPTY, Plan, WantedHistory, batches, plan_of
from infra.settings import Settings
from infra.store.corporate import actions_of
from infra.store.covered import contracts_with_bars
from infra.store.database import Store
from infra.store.findings import Findings, finding, finding_counts, finding_page
from infra.store.symbol_queries import entries_of
from infra.symbol_meanings import meanings
from infra.symbol_names import parse_symbol
from producers.cli.desk import Desk
from schemas.corporate import CorporateAction
from schemas.event import Event
from schemas.market import Basis, Rejected, Released, Severity
from schemas.validation import Contract, Symbol

_SYMBOLS_MAX = 1000
BASES = {"raw": Basis.RAW, "split": Basis.SPLIT_ADJUSTED, "total_return": Basis.TOTAL_RETURN}


class UnknownFindingError(UsageError):
    def __init__(self, quarantine_id: str) -> None:
        super().__init__(f"no finding {quarantine_id}: `scizor data quarantine list` shows them")


class DecidedAlreadyError(ScizorError):
    def __init__(self, quarantine_id: str, why: str) -> None:
        super().__init__(f"{quarantine_id} {why}: nothing was changed")


@contextlib.asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[AsyncConnection]:
    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.reading() as connection:
            yield connection
    finally:
        await store.close()


async def contract_named(connection: AsyncConnection, text: str) -> Contract:
    """The contract that a person means; UsageError when there is none, or there are several."""
    name = parse_symbol(text)
    entries = [Symbol.model_validate(dict(row)) for row in await entries_of(connection, name.symbol)]
    found = {each.contract.contract_id: each.contract for each in meanings(name, entries) if each.contract is not None}
    if not found:
        raise UsageError(f"no contract is known for {text}: `scizor symbols add {text}` asks the gateway")
    if len(found) > 1:
        names = ", ".join(f"{each.symbol}:{each.primary_exchange or each.exchange}" for each in found.values())
        raise UsageError(f"{text} can mean {names}: say which")
    return next(iter(found.values()))


# findings


async def findings(settings: Settings, symbol: str, wanted: Findings, limit: int) -> Sequence[RowMapping]:
    async with reading(settings) as connection:
        if symbol:
            wanted = replace(wanted, contract_id=(await contract_named(connection, symbol)).contract_id)
        return (await finding_page(connection, wanted, limit))[:limit]


async def counts(settings: Settings) -> Sequence[RowMapping]:
    async with reading(settings) as connection:
        return await finding_counts(connection)


async def one_finding(settings: Settings, quarantine_id: str) -> RowMapping:
    async with reading(settings) as connection:
        row = await finding(connection, quarantine_id)
    if row is None or row["rule"] is None:
        raise UnknownFindingError(quarantine_id)
    return row


async def decide(settings: Settings, quarantine_id: str, by: str, *, release: bool) -> Event:
    """Publish the decision; what is released goes to its topic first, so that a repeat after a crash is harmless."""
    row = await one_finding(settings, quarantine_id)
    if row["resolution"] is not None:
        raise DecidedAlreadyError(quarantine_id, f"was {row['resolution']} by {row['resolved_by']} already")
    passed = row["severity"] != Severity.ERROR
    if passed and not release:
        raise DecidedAlreadyError(quarantine_id, "is a warning, the record went through: release it to close it")
    async with Desk(settings) as desk:
        now = desk.clock.now()
        common: dict[str, Any] = {"event_time": now, "ingest_time": now, "by": by}
        about = {"quarantine_id": quarantine_id, "contract_id": row["contract_id"]}
        if not release:
            decision: Event = Rejected(**common, **about)
        else:
            if not passed:
                async with reading(settings) as connection:
                    bar = await released_bar(connection, row, now)
                await desk.publish(bar)
            decision = Released(**common, **about)
        await desk.publish(decision)
    return decision


# completeness


async def coverages(settings: Settings, symbols: Sequence[str], size: timedelta) -> list[Coverage]:
    """Of these symbols, or of all that have bars of the size."""
    async with reading(settings) as connection:
        if symbols:
            contracts: Sequence[Contract] = [await contract_named(connection, each) for each in symbols]
        else:
            contracts = await contracts_with_bars(connection, int(size.total_seconds()), _SYMBOLS_MAX)
        return [await coverage_of(connection, each, size, settings.home) for each in contracts]


# corporate actions


async def actions(settings: Settings, symbol: str) -> list[CorporateAction]:
    async with reading(settings) as connection:
        contract = await contract_named(connection, symbol)
        return await actions_of(connection, contract.contract_id)


async def add_action(settings: Settings, symbol: str, terms: Terms, by: str) -> CorporateAction:
    async with reading(settings) as connection:
        contract = await contract_named(connection, symbol)
        known = await actions_of(connection, contract.contract_id)
    async with Desk(settings) as desk:
        revision = next_revision(known, terms)
        action = action_of(contract, terms, by=by, revision=revision, now=desk.clock.now())
        await desk.publish(action)
    return action


# files


@dataclass(frozen=True)
class Export:
    """What is exported, and where to."""

    symbol: str
    kind: str
    out: Path
    size: timedelta
    adjustment: str
    start: str
    end: str


async def export(settings: Settings, wanted: Export) -> tuple[Plan, int]:
    """Write the file, whole or not at all; how it was made, and how many bars it holds."""
    now = SystemClock().now()
    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.reading() as connection:
            contract = await contract_named(connection, wanted.symbol)
            size = int(wanted.size.total_seconds())
            plan = await plan_of(connection, WantedHistory(contract, size, BASES[wanted.adjustment], now), now)
        zone = zone_of(contract)
        until = last_moment("--end-date", wanted.end, zone, plan.end) if wanted.end else plan.end
        since = first_moment("--start-date", wanted.start, zone, until) if wanted.start else plan.start
        if until <= since:
            raise UsageError(f"--start-date {wanted.start} is not before --end-date {wanted.end or 'the last bar'}")
        plan = replace(plan, start=since, end=until)
        return plan, await _write(plan, store, wanted)
    finally:
        await store.close()


async def _write(plan: Plan, store: Store, wanted: Export) -> int:
    part = wanted.out.with_name(f"{wanted.out.name}.part")
    count = 0
    writer = WRITERS[wanted.kind](EMPTY)
    try:
        with part.open("wb") as file:
            async for frame in batches(plan, store.reading):
                count += len(frame)
                file.write(await asyncio.to_thread(writer.batch, frame))
            for piece in writer.rest():
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(wanted.out)
    except OSError as error:
        raise UsageError(f"{wanted.out} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return count
