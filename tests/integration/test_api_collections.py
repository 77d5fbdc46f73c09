"""Collections over HTTP: what can be asked for, what is refused, and what a run tells of each symbol."""

from datetime import date, timedelta

from infra.api_keys import Role
from infra.settings import Settings
from infra.store import collection
from schemas.collection import (
    CollectDaily,
    CollectHistory,
    CollectionRun,
    Gap,
    RunState,
    SymbolCollected,
    SymbolOutcome,
)
from schemas.market import Basis, PriceKind
from tests.builders import SEEN
from tests.integration.an_api import serving

WHEN = {"event_time": SEEN, "ingest_time": SEEN}


async def test_history_of_days_prices_and_years_is_asked_for_as_it_was_wanted(stack_settings: Settings) -> None:
    body = {
        "symbols": ["AAPL"],
        "bar_size": "1h",
        "first_day": "2012-01-03",
        "last_day": "2012-02-28",
        "basis": "total_return",
        "refresh": True,
    }
    async with serving("api_farmer", stack_settings) as api:
        await api.ask("POST", "/collections", Role.TRADER, json=body)
        await api.ask("POST", "/collections", Role.TRADER, json={"symbols": ["IBM"], "years": 3, "price_kind": "bid"})
        first, second = await api.first_told("collection.requests.v1", 2)

    assert isinstance(first, CollectHistory)
    assert (first.first_day, first.last_day) == (date(2012, 1, 3), date(2012, 2, 28))
    assert (first.bar_size, first.basis, first.refresh) == (timedelta(hours=1), Basis.TOTAL_RETURN, True)
    assert isinstance(second, CollectHistory)
    assert (second.years, second.price_kind, second.first_day) == (3, PriceKind.BID, None)


async def test_a_daily_collection_is_asked_for_by_exchange(stack_settings: Settings) -> None:
    async with serving("api_farmer", stack_settings) as api:
        accepted = await api.ask("POST", "/collections/daily", Role.TRADER, json={"exchange": "asx", "days": 10})
        (request,) = await api.first_told("collection.daily.v1", 1)
        followed = await api.get(accepted.headers["Location"])

    assert isinstance(request, CollectDaily)
    assert (request.exchange, request.days, request.run_id) == ("ASX", 10, accepted.json()["id"])
    assert (followed["kind"], followed["state"], followed["outcomes"]) == ("daily", "requested", [])


NONSENSE: list[tuple[str, dict[str, object], str]] = [
    ("", {"bar_size": "7s"}, "bar_size: IB serves no bars of 0:00:07"),
    ("", {"first_day": "2013-02-02", "last_day": "2013-02-01"}, "last_day must not be before first_day"),
    ("", {"first_day": "0001-01-01"}, "first_day: no market has lived in 1"),
    ("", {"price_kind": "bid", "basis": "total_return"}, "price_kind, basis: IB serves no bid"),
    ("", {"years": 0}, "years"),
    ("", {"first_dya": "2013-02-01"}, "did you mean first_day?"),
    ("/daily", {"exchange": "MOON"}, "exchange: no trading calendar for the exchange 'MOON'"),
    ("/daily", {"days": 4000}, "days"),
]


async def test_what_makes_no_sense_is_refused_by_the_name_of_its_field(stack_settings: Settings) -> None:
    async with serving("api_farmer", stack_settings) as api:
        for path, body, told in NONSENSE:
            whole = body if path else {"symbols": ["AAPL"], **body}
            refused = await api.ask("POST", f"/collections{path}", Role.TRADER, json=whole)
            assert (refused.status_code, told in refused.text) == (422, True), refused.text


async def test_a_run_tells_what_it_did_about_each_symbol_and_which_sessions_are_missing(
    stack_settings: Settings,
) -> None:
    run = CollectionRun(
        **WHEN,
        run_id="run-1",
        kind="history",
        state=RunState.RUNNING,
        symbols=3,
        symbols_done=2,
        what="1 day trades",
        chunks=7,
        chunks_done=3,
        gaps=1,
        chunks_per_minute=6.0,
        eta_seconds=40.0,
    )
    gap = Gap(first_day=date(2012, 10, 29), last_day=date(2012, 10, 30), sessions=2, reason="the gateway has no bars")
    outcomes = [
        SymbolCollected(**WHEN, run_id="run-1", symbol="NOSUCH", outcome=SymbolOutcome.FAILED, reason="unknown symbol"),
        SymbolCollected(
            **WHEN, run_id="run-1", symbol="AAPL", contract_id=265598, outcome=SymbolOutcome.COLLECTED, gaps=(gap,)
        ),
    ]
    async with serving("api_farmer", stack_settings) as api:
        await api.store(lambda connection: collection.put_runs(connection, [run]))
        await api.store(lambda connection: collection.put_outcomes(connection, outcomes))
        told = await api.get("/collections/run-1")

    assert (told["what"], told["chunks"], told["chunks_done"], told["eta_seconds"]) == ("1 day trades", 7, 3, 40.0)
    assert [(each["symbol"], each["outcome"], each["reason"]) for each in told["outcomes"]] == [
        ("AAPL", "collected", ""),
        ("NOSUCH", "failed", "unknown symbol"),
    ]
    assert told["outcomes"][0]["gaps"] == [
        {"first_day": "2012-10-29", "last_day": "2012-10-30", "sessions": 2, "reason": "the gateway has no bars"}
    ]
