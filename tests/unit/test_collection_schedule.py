"""Daily collection becomes due once after each session, whatever restarts, holidays and half days come between."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
import structlog

from infra.clock import ManualClock
from infra.settings import Settings
from producers.data_farmer.scheduler import Scheduler
from schemas.collection import CollectDaily
from schemas.validation import Symbol, SymbolState
from tests.builders import SEEN, a_contract

CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
DUE = CLOSE + timedelta(minutes=30)
MINUTE = timedelta(minutes=1)


class Office:
    """What a scheduler has around it: it publishes into a list, and its registry has one symbol."""

    def __init__(self, exchange: str = "NASDAQ", state: SymbolState = SymbolState.VALID, **settings: Any) -> None:
        defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
        self.settings = Settings.model_construct(**{**defaults, **settings})
        self.clock = ManualClock(SEEN)
        self.log = structlog.get_logger()
        self.asked: list[CollectDaily] = []
        self._symbol = Symbol(
            event_time=SEEN,
            ingest_time=SEEN,
            symbol_id="id",
            symbol="AAPL",
            state=state,
            contract=a_contract(primary_exchange=exchange),
        )

    async def publish(self, event: CollectDaily) -> None:
        self.asked.append(event)

    def entries(self) -> Iterator[Symbol]:
        yield self._symbol

    def scheduler(self) -> Scheduler:
        """As a process makes it that has just started: it knows what was asked for."""
        me = cast(Any, self)
        made = Scheduler(me, me, me, me)
        made.recall(self.asked)
        return made

    @property
    def sessions(self) -> list[tuple[str | None, date | None]]:
        return [(each.exchange, each.session) for each in self.asked]


async def test_it_is_due_some_time_after_the_close_and_once() -> None:
    office = Office()
    scheduler = office.scheduler()
    for now in (CLOSE - MINUTE, CLOSE, DUE - MINUTE, DUE, DUE + MINUTE, DUE + 5 * MINUTE):
        await scheduler.look(now)
        assert len(office.asked) == (now >= DUE)

    (request,) = office.asked
    assert (request.run_id, request.exchange, request.session) == (
        "daily-XNYS-2013-02-28",
        "XNYS",
        date(2013, 2, 28),
    )


async def test_a_restart_neither_repeats_a_session_nor_forgets_one() -> None:
    office = Office()
    first = office.scheduler()
    await first.look(CLOSE - MINUTE)
    await first.look(DUE)
    await office.scheduler().look(DUE + MINUTE)
    assert office.sessions == [("XNYS", date(2013, 2, 28))]

    after_the_weekend = office.scheduler()
    await after_the_weekend.look(datetime(2013, 3, 5, 15, 0, tzinfo=UTC))
    await after_the_weekend.look(datetime(2013, 3, 5, 15, 5, tzinfo=UTC))
    assert office.sessions[1:] == [("XNYS", date(2013, 3, 4))], "the last one looks back to those before it"


async def test_the_first_start_of_all_has_nothing_to_make_up_for() -> None:
    office = Office()
    scheduler = office.scheduler()
    for hours in range(5):
        await scheduler.look(CLOSE + timedelta(hours=2 + hours))

    assert office.asked == []


async def test_holidays_are_left_out_and_half_days_end_early() -> None:
    office = Office()
    scheduler = office.scheduler()
    await scheduler.look(datetime(2012, 11, 21, 15, 0, tzinfo=UTC))
    for hours in range(72):  # Thanksgiving, and the half day after it, which closes at 13:00 in New York
        await scheduler.look(datetime(2012, 11, 21, 15, 31, tzinfo=UTC) + timedelta(hours=hours))

    assert [request.session for request in office.asked] == [date(2012, 11, 21), date(2012, 11, 23)]
    assert office.asked[1].event_time == datetime(2012, 11, 23, 18, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("exchange", "state", "expected"),
    [
        ("ASX", SymbolState.VALID, ["XASX"]),
        ("NYSE", SymbolState.VALID, ["XNYS"]),
        ("NASDAQ", SymbolState.SUSPENDED, []),
    ],
)
async def test_an_exchange_without_valid_symbols_is_not_asked_for(
    exchange: str, state: SymbolState, expected: list[str]
) -> None:
    office = Office(exchange, state)
    scheduler = office.scheduler()
    for hours in range(-1, 24):
        await scheduler.look(DUE + timedelta(hours=hours))

    assert [request.exchange for request in office.asked] == expected


async def test_the_delay_is_a_setting() -> None:
    office = Office(collect_daily_delay_minutes=0.0)
    scheduler = office.scheduler()
    await scheduler.look(CLOSE - MINUTE)
    await scheduler.look(CLOSE)

    assert office.sessions == [("XNYS", date(2013, 2, 28))]
