"""The health of data: three symbols asked for, and found again at every station of their way."""

import asyncio
import json
from dataclasses import asdict, dataclass, field

from infra.clock import SystemClock, SystemEntropy
from infra.errors import ScizorError
from infra.settings import Settings
from infra.store.collection import daily_bars
from infra.store.database import Store
from producers.cli.collection import Collected
from producers.cli.collection import collect as follow
from producers.cli.records import run as run_with_kafka
from schemas.collection import CollectHistory, SymbolCollected, SymbolOutcome

DEFAULT_SYMBOLS = ("AAPL", "IBM", "MSFT")
_YEARS = 1
_STORED_SECONDS = 20.0
_POLL_SECONDS = 0.2


@dataclass
class Station:
    """One part of the way, and what was seen there."""

    name: str
    healthy: bool
    seen: str


@dataclass
class SymbolHealth:
    symbol: str
    stations: list[Station] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        return all(station.healthy for station in self.stations)


@dataclass
class Health:
    """Of the whole way, with every symbol."""

    stations: list[Station]
    symbols: list[SymbolHealth] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        return all(station.healthy for station in self.stations) and all(each.healthy for each in self.symbols)


def check_path(settings: Settings, symbols: tuple[str, ...]) -> Health:
    """Ask for a year of daily bars again, although they may be there, and look for them."""
    now = SystemClock().now()
    request = CollectHistory(
        event_time=now,
        ingest_time=now,
        run_id=SystemEntropy().new_id(),
        symbols=symbols,
        years=_YEARS,
        refresh=True,
        urgency="live",
        requested_by="cli",
    )
    try:
        told = follow(settings, request, lambda _: None)
    except ScizorError as error:
        return Health([Station("request", False, str(error))])
    health = Health([Station("request", True, f"run {request.run_id} {told.run.state.value}")])
    if why := told.run.failures.get("gateway"):
        health.stations.append(Station("gateway", False, why))
        return health
    health.symbols = run_with_kafka(_symbols(settings, told), settings)
    return health


async def _symbols(settings: Settings, told: Collected) -> list[SymbolHealth]:
    store = Store(settings, "cli", pool_size=1)
    try:
        return [await _symbol(store, told.outcomes[each]) for each in sorted(told.outcomes)]
    finally:
        await store.close()


async def _symbol(store: Store, told: SymbolCollected) -> SymbolHealth:
    health = SymbolHealth(told.symbol)
    arrived = told.outcome in (SymbolOutcome.COLLECTED, SymbolOutcome.UP_TO_DATE)
    seen = f"{told.bars_received} bars" if arrived else told.reason or told.outcome.value
    health.stations.append(Station("gateway", arrived, seen))
    if not arrived or told.contract_id is None:
        return health
    good = told.bars_received - told.quarantined
    stored = await _stored(store, told.contract_id, good)
    seen = f"{min(stored, good)} of {good} bars stored"
    health.stations.append(Station("topic and table", stored >= good, seen))
    complete = told.sessions_complete == told.sessions and not told.quarantined
    words = f"{told.sessions_complete} of {told.sessions} sessions complete, {told.quarantined} bars set aside"
    if told.gaps:
        words += f"; first gap {told.gaps[0].first_day}: {told.gaps[0].reason}"
    health.stations.append(Station("quality", complete, words))
    return health


async def _stored(store: Store, contract_id: int, wanted: int) -> int:
    """Daily bars of the table, once there are as many as came, or after a while."""
    clock = SystemClock()
    deadline = clock.monotonic() + _STORED_SECONDS
    while True:
        async with store.reading() as connection:
            count = await daily_bars(connection, contract_id)
        if count >= wanted or clock.monotonic() > deadline:
            return count
        await asyncio.sleep(_POLL_SECONDS)


def show(health: Health, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"healthy": health.healthy, **asdict(health)}, indent=2))
        return
    for station in health.stations:
        print(_line("", station))
    for each in health.symbols:
        for station in each.stations:
            print(_line(each.symbol, station))
    print("the path is healthy" if health.healthy else "the path is NOT healthy: `scizor doctor` looks at the machine")


def _line(symbol: str, station: Station) -> str:
    return f"{'ok  ' if station.healthy else 'FAIL'} {symbol:<8} {station.name:<16} {station.seen}"
