"""The book that risk judges by, made of what its tables say."""

from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.risk.deciding import Wished, parts
from engine.account_book import AccountBook
from engine.account_rows import account_book
from engine.risk import check
from engine.risk_book import Figures, book_of
from engine.trading_state import KILL_SWITCH, RECONCILER
from infra.publish import Origin
from infra.store.book import Day
from schemas.account import RiskLimits
from schemas.risk import DenialReason
from tests.builders import NOON, SEEN, an_intent

D = Decimal
TODAY = date(2013, 2, 28)
DAY = timedelta(days=1)


def a_row(**changes: Any) -> SimpleNamespace:
    """What a look at a book of nothing finds."""
    none = ("limits", "states", "held", "positions", "parts", "marks", "exchanges", "restricted", "minute")
    fields: dict[str, Any] = dict.fromkeys((*none, "same_side", "traffic"))
    fields |= {"realised_pnl_today": D(0), "trading_day": TODAY, "unrealised_before": D(0), "marked_day": TODAY}
    fields |= {"currency": "USD", "told_at": SEEN, "buying_power": D(10**6), "rates": {"GBP": "1.25"}, "spent": D(0)}
    return SimpleNamespace(**({"unvalued": {}} | fields | changes))


def the_book(market_time: Any = NOON, **changes: Any) -> AccountBook:
    return account_book("DU1", a_row(**changes), market_time, lambda exchange, moment: True)


def some_limits(scope: str) -> RiskLimits:
    return RiskLimits(scope=scope, version=1, event_time=SEEN, ingest_time=SEEN)


@pytest.mark.parametrize(("market_time", "lost"), [(NOON - DAY, D(-900)), (NOON, D(-900)), (NOON + DAY, D(0))])
def test_an_intent_of_a_day_that_is_over_sees_what_the_day_of_the_book_has_lost(
    market_time: Any, lost: Decimal
) -> None:
    assert the_book(market_time, realised_pnl_today=D(-900)).realised_today == lost


def test_an_intent_of_a_day_that_is_over_sees_what_positions_had_earned_before_the_day_of_the_book() -> None:
    assert the_book(NOON - DAY, unrealised_before=D(70)).unrealised_before == 70


@pytest.mark.parametrize(
    ("states", "word"),
    [
        (
            {"global": ["HALTED", KILL_SWITCH, "it burns (ann)"], "account:DU1": ["ACTIVE", "executor", ""]},
            "global is HALTED by a kill: it burns (ann): `scizor arm` lifts that",
        ),
        (
            {"account:DU1": ["HALTED", RECONCILER, "a position differs"]},
            "account:DU1 is HALTED until books and broker agree: a position differs",
        ),
        (
            {"account:DU1": ["REDUCING", "risk", "lost 70"], "strategy:crossover": ["HALTED", "bob", "wild"]},
            "strategy:crossover is HALTED by bob: wild: `scizor live arm --scope strategy:crossover` lifts that",
        ),
        ({}, "nobody has told yet that DU1 may trade: `scizor status` shows why"),
    ],
)
def test_a_denial_names_who_has_stopped_trading_and_what_lifts_that(states: dict[str, Any], word: str) -> None:
    intent = an_intent(account_id="DU1", strategy_id="crossover", symbol="AAPL")
    limits = {"account:DU1": some_limits("account:DU1").model_dump(mode="json")}

    decision = check(intent, the_book(states=states, limits=limits).seen_from(intent, SEEN), SEEN)

    assert (decision.reason, decision.detail) == (DenialReason.TRADING_HALTED, word)
    assert check(intent, book_of(decision.basis), SEEN).detail == word, "the proof makes the same decision again"


def test_a_decision_of_before_that_names_nobody_is_made_again_word_for_word() -> None:
    intent = an_intent(account_id="DU1")
    limits = {"account:DU1": some_limits("account:DU1").model_dump(mode="json")}
    states = {"account:DU1": ["HALTED", "bob", "wild"]}
    basis = check(intent, the_book(states=states, limits=limits).seen_from(intent, SEEN), SEEN).basis

    again = check(intent, book_of(basis.model_copy(update={"stopped_by": ""})), SEEN)

    assert again.detail == "trading is halted for this account, strategy or symbol"


def test_intents_of_two_days_are_decided_on_two_looks() -> None:
    place = Origin("trading.intents.v1", 0, 0, b"", 0, SEEN)
    days = [NOON, NOON, NOON + DAY, NOON]
    wished: list[Wished] = [
        (an_intent(intent_id=f"i-{number}", event_time=moment), place) for number, moment in enumerate(days)
    ]

    assert [len(part) for part in parts(wished)] == [2, 1, 1]


def a_part(strategy: str, quantity: int, **changes: Any) -> list[Any]:
    day, contract = str(TODAY), 7
    named = {"earned": "0", "unvalued": {}} | changes
    return [strategy, contract, "X", "USD", str(quantity), "100", named["earned"], day, named["unvalued"]]


def of_strategy(**changes: Any) -> Figures:
    """What the limits of a strategy with nothing but parts are held against."""
    limits = {"strategy:crossover": some_limits("strategy:crossover").model_dump(mode="json")}
    (scope,) = the_book(limits=limits, **changes).seen_from(an_intent(), SEEN).scopes
    return scope


def test_what_a_strategy_holds_against_another_one_counts_in_its_own_limits() -> None:
    parts_of_both = [a_part("crossover", 5000), a_part("other", -5000)]
    mark = [7, "90", SEEN.isoformat(), None]

    known, unknown = of_strategy(parts=parts_of_both, marks=[mark]), of_strategy(parts=parts_of_both)

    assert (known.exposure_elsewhere, known.unrealised_pnl_today, known.exposure_unknown) == (
        D(450_000),
        D(-50_000),
        "",
    )
    assert unknown.exposure_unknown == "X"


def test_what_a_day_has_brought_in_a_currency_without_a_rate_is_not_known() -> None:
    parts_of_two = [a_part("crossover", 0, unvalued={"JPY": "-5"}), a_part("other", 0, unvalued={"CHF": "1"})]
    seen = the_book(unvalued={"JPY": "-5", "CHF": "1"}).seen_from(an_intent(), SEEN)

    assert seen.loss_unknown == "CHF, JPY"
    assert of_strategy(parts=parts_of_two).loss_unknown == "JPY"
    assert the_book(NOON + DAY, unvalued={"JPY": "-5"}).loss_unknown == ""


def test_what_is_earned_counts_in_the_base_currency_as_soon_as_there_is_a_rate() -> None:
    rates: dict[str, Decimal] = {"USD": D(1), "GBP": D("1.25")}
    day = Day(D(100), TODAY).earned({"GBP": D(-19_000), "JPY": D(-50_000), "USD": D(-1)}, TODAY, rates.get)
    assert (day.realised_pnl, dict(day.unvalued)) == (D(-23_651), {"JPY": D(-50_000)})

    later = day.earned({"JPY": D(10_000)}, TODAY - DAY, rates.get)
    assert dict(later.unvalued) == {"JPY": D(-40_000)}, "news of a day that is over count for the day of the book"
    rates["JPY"] = D("0.0065")
    assert later.valued(rates.get) == Day(D(-23_911), TODAY)
    assert later.earned({}, TODAY + DAY, rates.get) == Day(D(0), TODAY + DAY)


def an_order(name: str, side: str, **changes: Any) -> dict[str, Any]:
    """A reservation, as the look at a book gives it."""
    fields: dict[str, Any] = {"order_id": name, "strategy_id": "crossover", "contract_id": 7, "symbol": "X"}
    fields |= {"currency": "USD", "side": side, "quantity": "100", "remaining": "100", "filled": "0", "state": "open"}
    fields |= {"price": "100", "order_type": "LMT", "limit_price": "100", "stop_price": None, "oca_group": ""}
    fields |= {"opened_at": SEEN.isoformat(), "parent_id": None, "changes": [], "parent_side": None}
    fields |= {"parent_filled": None, "parent_quantity": None, "parent_changes": None}
    return fields | changes


EXIT = {"parent_id": "entry", "parent_side": "BUY", "parent_filled": "0", "parent_quantity": "100"}


@pytest.mark.parametrize(
    ("orders", "held", "need"),
    [
        ([an_order("entry", "BUY")], 0, 10_000),
        ([an_order("entry", "BUY"), an_order("gain", "SELL", **EXIT), an_order("loss", "SELL", **EXIT)], 0, 10_000),
        ([an_order("entry", "BUY", changes=[["c", "150", "101"]], remaining="150", price="101")], 0, 15_150),
        ([an_order("a", "BUY", oca_group="g"), an_order("b", "BUY", oca_group="g", remaining="60")], 0, 10_000),
        ([an_order("close", "SELL")], 100, 0),
        ([an_order("turn", "SELL")], 60, 4_000),
    ],
    ids=["order", "bracket", "change", "group", "close", "turn"],
)
def test_orders_in_flight_take_of_the_buying_power_what_they_may_need_at_their_worst(
    orders: list[dict[str, Any]], held: int, need: int
) -> None:
    positions = [[7, "X", "USD", str(held), "100", "100"]] if held else []
    mark = [7, "100", SEEN.isoformat(), None]

    assert the_book(held=orders, positions=positions, marks=[mark], spent=D(50)).buying_power == 10**6 - 50 - need


def test_a_position_is_valued_in_its_own_currency_whatever_an_order_says() -> None:
    stray = an_order("external-1", "BUY", currency="", quantity="1", remaining="1")
    mark = [7, "100", SEEN.isoformat(), None]
    book = the_book(held=[stray], positions=[[7, "X", "GBP", "10", "100", "100"]], marks=[mark])

    assert book.seen_from(an_intent(), SEEN).exposure_elsewhere == 11 * 125
    assert the_book(held=[stray], marks=[mark]).seen_from(an_intent(), SEEN).exposure_unknown == "X"
