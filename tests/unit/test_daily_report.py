"""A day of trading in figures, and as a page: by executions alone, in the account's currency, told where unsure."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.daily import DayBook, Mark, Prices, Rate, Window
from engine.daily_books import compared
from engine.daily_document import document
from engine.daily_metrics import earned_by_day
from engine.exchange import Execution
from engine.report import daily
from engine.slippage import Traded, slippage_of
from infra.day_material import MarketDayNotBegunError, NotBegunError, refuse_future
from producers.cli.daily_report import _better, _books
from schemas.orders import Commission, Fill, FillBusted, FillCorrected, FillEvent, Side
from tests.builders import APPLE, a_fill

D = Decimal
ACCOUNT = "DU1234567"
BEGINS = datetime(2013, 2, 28, 5, tzinfo=UTC)
DAY = Window(BEGINS, BEGINS + timedelta(days=1))
RATES = {"USD": Rate(D(1), None)}


def executed(name: str, quantity: int, price: str, hour: float = 12, **changes: Any) -> Fill:
    """At so many hours after the day began; negative: the day before."""
    return a_fill(
        execution_id=name,
        side=Side.BUY if quantity > 0 else Side.SELL,
        last_quantity=D(abs(quantity)),
        last_price=D(price),
        event_time=BEGINS + timedelta(hours=hour),
        **changes,
    )


def cost(of: Fill, amount: str, currency: str = "USD") -> Commission:
    return Commission(
        execution_id=of.execution_id, account_id=of.account_id, amount=D(amount), currency=currency,
        event_time=of.event_time, ingest_time=of.ingest_time,
    )  # fmt: skip


def prices(before: str | None, after: str | None, **rates: Rate) -> Prices:
    def marks(price: str | None) -> dict[int, Mark]:
        return {APPLE: Mark(D(price), BEGINS, "bar")} if price else {}

    return Prices(marks(before), marks(after), RATES | rates)


def totals(events: Sequence[FillEvent], known: Prices, strategy: str | None = None) -> Any:
    book = DayBook(events, DAY, strategy)
    return book.totals(book.contracts(known), known)


def test_a_day_earns_what_it_realised_and_what_its_positions_gained_less_its_commissions() -> None:
    before, sold = executed("1", 100, "10", -5), executed("2", -40, "13")
    found = totals([before, cost(before, "9"), sold, cost(sold, "1")], prices("11", "14"))
    # 40 sold at 3 above their price; unrealised 60 at +4 in the evening, 100 at +1 in the morning
    assert (found.realised, found.unrealised, found.commission, found.net) == (120, 140, 1, 259)
    assert (found.traded, found.executions) == (520, 1)


@given(
    deals=st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 30), st.integers(-20, 20)), max_size=12),
    marks=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_the_profit_of_a_day_is_the_change_of_what_is_held_plus_the_money_that_came_in(
    deals: list[tuple[int, int, int]], marks: tuple[int, int]
) -> None:
    """Said without averages: the same sum, in another way."""
    fills = [executed(str(n), quantity, str(price), hour) for n, (quantity, price, hour) in enumerate(deals)]
    found = totals([*fills], prices(str(marks[0]), str(marks[1])))
    morning = sum(quantity for quantity, _, hour in deals if hour < 0)
    today = [(quantity, price) for quantity, price, hour in deals if hour >= 0]
    held = morning + sum(quantity for quantity, _ in today)
    expected = held * marks[1] - morning * marks[0] - sum(quantity * price for quantity, price in today)
    assert abs(found.net - expected) < D("0.00001")


def test_corrected_and_busted_executions_count_as_they_are_known_now() -> None:
    bought, wrong = executed("1", 100, "10"), executed("2", 50, "10")
    fields = bought.model_dump(exclude={"type"}) | {"revision": 2, "last_price": D(11)}
    busted = FillBusted(
        execution_id="2", revision=2, account_id=ACCOUNT, contract_id=APPLE, event_time=wrong.event_time,
        ingest_time=wrong.ingest_time,
    )  # fmt: skip
    events: list[FillEvent] = [bought, cost(bought, "1"), wrong, cost(wrong, "1"), FillCorrected(**fields), busted]
    found = totals(events, prices(None, "12"))
    assert (found.unrealised, found.commission, found.executions) == (100, 1, 1)


def test_a_strategy_has_the_profit_of_its_own_executions() -> None:
    mine, other = executed("1", 100, "10"), executed("2", -100, "12", strategy_id="other")
    assert totals([mine, other], prices(None, "11")).net == 200
    assert totals([mine, other], prices(None, "11"), mine.strategy_id).net == 100
    assert totals([mine, other], prices(None, "11"), "other").net == 100


@pytest.mark.parametrize(
    ("rates", "net"),
    [({"EUR": Rate(D("1.3"), BEGINS)}, D("128.7")), ({"EUR": Rate(D("1.3"), BEGINS, stale=True)}, None), ({}, None)],
)
def test_other_currencies_count_at_their_rate_and_never_at_a_stale_one(rates: Any, net: Decimal | None) -> None:
    bought = executed("1", 100, "10", currency="EUR")
    events: list[FillEvent] = [bought, cost(bought, "1.3", "USD")]
    known = prices(None, "11", **rates)
    found = totals(events, known)
    assert found.net == net
    (day,) = DayBook(events, DAY).contracts(known)
    assert (day.commission, day.net) == ((D(1), D(99)) if net else (None, None)), "in euros, as the contract is"


def test_what_has_no_price_has_no_profit() -> None:
    book = DayBook([executed("1", 100, "10")], DAY)
    (day,) = book.contracts(prices(None, None))
    assert (day.quantity, day.unrealised, day.net) == (D(100), None, None)


def an_order(**changes: Any) -> Traded:
    fields: dict[str, Any] = {
        "order_id": "o", "strategy_id": "s", "symbol": "AAPL", "currency": "USD", "side": Side.BUY,
        "quantity": D(100), "price": D("10.05"), "decided": D(10), "seen": D("10.01"),
    }  # fmt: skip
    return Traded(**(fields | changes))


def test_slippage_is_delay_and_half_the_spread_and_the_rest() -> None:
    found = slippage_of(an_order(bid=D("10.00"), ask=D("10.04")))
    assert (found.total, found.delay, found.spread, found.execution) == (D(5), D(2), D(2), D(1))
    assert found.basis_points == 50


def test_a_seller_pays_when_the_price_falls() -> None:
    found = slippage_of(an_order(side=Side.SELL, price=D("9.90"), bid=D("9.94"), ask=D("9.98")))
    assert (found.total, found.delay, found.spread, found.execution) == (D(10), D(4), D(2), D(4))


def test_without_a_quote_delay_goes_to_the_price_that_risk_saw_and_the_spread_is_in_execution() -> None:
    found = slippage_of(an_order())
    assert (found.total, found.delay, found.spread, found.execution) == (D(5), D(1), None, D(4))
    assert slippage_of(an_order(seen=None)).delay == 0


def material(**changes: Any) -> dict[str, Any]:
    """What the tables would say of a small day."""
    bought, sold = executed("1", 100, "10", 10), executed("2", -100, "12", 12)
    account = {
        "currency": "USD", "net_liquidation": D(100_000), "cash": D(100_000), "positions": {}, "rates": {},
        "rates_stale": False, "told_at": BEGINS, "ingest_time": BEGINS, "mode": "ACTIVE", "reason": "armed", "by": "me",
    }  # fmt: skip
    trade = {
        "trade_id": "t", "strategy_id": "crossover", "contract_id": APPLE, "symbol": "AAPL", "side": "BUY", "of": 1,
        "quantity": D(100), "entry_price": D(10), "exit_price": D(12), "gross_pnl": D(200), "commission": D(2),
        "net_pnl": D(198), "opened_at": bought.event_time, "closed_at": sold.event_time, "currency": "USD",
    }  # fmt: skip
    order = {
        "order_id": "order-1", "strategy_id": "crossover", "contract_id": APPLE, "symbol": "AAPL", "side": "BUY",
        "filled": D(100), "average_price": D(10), "created_at": BEGINS, "currency": "USD",
        "decided": "9.98", "seen": "9.99", "bid": 9.98, "ask": 10.0,
    }  # fmt: skip
    denial = {
        "reason": "quantity_max", "detail": "<b>too many</b>", "intent_id": "i", "strategy_id": "crossover",
        "event_time": BEGINS, "symbol": "AAPL", "side": "BUY", "quantity": D(9000), "of": 3,
    }  # fmt: skip
    revised = {"at": BEGINS, "type": "FillCorrected", "execution_id": "1", "revision": 2, "symbol": "AAPL", "of": 1}
    close = {"contract_id": APPLE, "day": date(2013, 2, 28), "close": 12.5, "at": DAY.ends - timedelta(hours=8)}
    fields = {
        "account_id": ACCOUNT, "strategy_id": None, "day": date(2013, 2, 28), "begins": DAY.begins, "ends": DAY.ends,
        "made_at": DAY.ends, "events": [bought, cost(bought, "1"), sold, cost(sold, "1")], "account": account,
        "closes": [close], "marks": [],
        "trades": [trade], "orders": [order], "denials": [denial] * 3, "stops": [], "troubled": [], "links": [],
        "revised": [revised], "reasons": [{"reason": "quantity_max", "denials": 3}], "ever_closed": [trade],
        "later": [], "most": 500,
    }  # fmt: skip
    return fields | changes


def test_the_document_says_everything_about_the_day_as_plain_data() -> None:
    found = document(material())
    assert (found["pnl"]["net"], found["pnl"]["executions"], found["commissions"]) == ("198", 2, {"USD": "2"})
    assert found["denials"]["by_reason"] == {"quantity_max": 3}
    assert (found["slippage"]["total"], found["slippage"]["delay"], found["slippage"]["spread"]) == ("2", "1", "1")
    assert [each["kind"] for each in found["incidents"]["rows"]] == ["execution corrected"]
    assert found["reconciliation"]["agrees"]
    assert (found["metrics"]["trades"], found["metrics"]["win_rate"]) == (1, 1)
    assert found["metrics"]["final_equity"] == 100_000
    (note,) = found["to_know"]
    assert "what was paid in or out is not known" in note


def test_what_the_report_does_not_know_it_says() -> None:
    foreign = executed("1", 100, "10", currency="EUR")
    account = material()["account"] | {"rates": {"EUR": "1.3"}, "rates_stale": True, "positions": {str(APPLE): "7"}}
    order = material()["orders"][0] | {"bid": None, "ask": None}
    found = document(material(events=[foreign], account=account, closes=[], orders=[order]))
    assert found["pnl"]["net"] is None
    assert [note.split()[0] for note in found["to_know"]] == ["AAPL", "The", "No"]
    assert found["reconciliation"]["differences"] == [
        {"contract_id": APPLE, "symbol": "AAPL", "ours": "0", "theirs": "7"}
    ]
    assert found["metrics"] is None


def test_the_report_tells_at_which_rate_money_counts_and_what_has_none() -> None:
    """Also for what was paid for executions: a total that is missing for one currency says for which."""
    foreign = executed("1", 100, "10", currency="EUR")
    account = material()["account"] | {"rates": {"EUR": "1.3"}}
    nothing_closed: dict[str, Any] = {"ever_closed": [], "trades": [], "orders": []}
    told = document(material(events=[foreign, cost(foreign, "1", "EUR")], account=account, **nothing_closed))
    unknown = document(material(events=[foreign, cost(foreign, "9", "GBP")], account=account, **nothing_closed))

    rate = "Money in EUR counts at 1.3 USD, on all days: the broker's rate of 2013-02-28 05:00 UTC."
    assert (told["pnl"]["net"], told["to_know"][0]) == ("323.7", rate), "(100 at a gain of 2.5, less 1) euros"
    assert rate in daily(told).replace("&#x27;", "'")
    assert unknown["pnl"]["net"] is None
    assert unknown["to_know"][:2] == [rate, "Nobody has told what GBP is worth: commissions are in no total."]


def test_a_round_trip_in_money_of_which_nobody_knows_the_worth_has_no_figure() -> None:
    (trip,) = material()["ever_closed"]

    assert document(material(ever_closed=[trip | {"currency": "GBP"}]))["metrics"] is None


def test_a_day_without_a_trade_is_told_as_one_and_not_as_one_that_went_well() -> None:
    bought = executed("1", 100, "10", -5)
    nothing: dict[str, Any] = {"ever_closed": [], "trades": [], "orders": []}
    quiet, note = document(material(events=[bought], **nothing)), "Nothing was traded on this day."

    assert note in quiet["to_know"]
    assert note in document(material(events=[], later=[bought], **nothing))["to_know"]
    assert note not in document(material())["to_know"]
    assert note in document(material(strategy_id="other"))["to_know"], "others did"


def test_before_anything_was_traded_the_report_says_so() -> None:
    nothing: dict[str, Any] = {"events": [], "ever_closed": [], "trades": [], "orders": [], "closes": []}

    assert "Nothing has been traded in this account yet." in document(material(**nothing))["to_know"]


def test_sums_and_counts_are_of_everything_and_the_page_says_that_it_lists_less() -> None:
    """A report lists some hundreds; what 2,000 orders cost is not what the first 500 of them did."""
    order, denial = material()["orders"][0], material()["denials"][0]
    stop = {"at": BEGINS, "rule": "halted", "scope": "global", "detail": "a drill", "of": 700}
    reasons = [{"reason": "quantity_max", "denials": 700}, {"reason": "too_late", "denials": 1}]
    found = document(
        material(
            orders=[order | {"order_id": f"order-{number}"} for number in range(5)],
            denials=[denial | {"of": 701}] * 2, reasons=reasons, stops=[stop] * 2, most=2,
        )
    )  # fmt: skip
    costs = found["slippage"]
    assert (costs["count"], len(costs["orders"]), costs["total"], costs["delay"]) == (5, 2, "10", "5")
    assert costs["basis_points"] == document(material())["slippage"]["basis_points"]
    assert found["denials"]["by_reason"] == {"quantity_max": 700, "too_late": 1}
    assert (found["incidents"]["count"], len(found["incidents"]["rows"])) == (701, 3)
    notes = [note for note in found["to_know"] if note.startswith("Of ")]
    assert [note.split(":")[0] for note in notes] == [
        "Of 5 orders 2 are listed", "Of 701 denials 2 are listed", "Of 701 incidents 3 are listed",
    ]  # fmt: skip
    assert "<h2>Incidents <small>701</small></h2>" in daily(found)


def a_close(day: int, price: float) -> dict[str, Any]:
    """Of so many days after the day."""
    at = DAY.ends + timedelta(days=day, hours=-8)
    return {"contract_id": APPLE, "day": at.date(), "close": price, "at": at}


def test_the_figures_of_a_past_day_stand_on_what_was_there_before_all_that_was_earned_until_now() -> None:
    """What came in later is not what the account began with: 100 bought at 10, at 12 that evening, worth 20 now."""
    bought, sold = executed("1", 100, "10"), executed("2", -40, "15", 36)
    events: list[FillEvent] = [bought, sold, cost(sold, "10")]
    closes = [a_close(0, 12), a_close(1, 16), a_close(2, 18)]
    mark = {"contract_id": APPLE, "price": D(20), "at": DAY.ends + timedelta(days=2, hours=-7)}
    past = document(material(events=events[:1], later=events[1:], closes=closes, marks=[mark], ever_closed=[]))
    # earned until now: 40 sold at +5, 60 held at +10, less 10; the account is worth 100,000
    assert past["metrics"]["final_equity"] == pytest.approx(100_000 - 790 + 200)
    assert past["metrics"]["total_return"] == pytest.approx(200 / (100_000 - 790))
    assert (past["metrics"]["fills"], past["metrics"]["sessions"], past["metrics"]["commission_paid"]) == (1, 1, 0)
    assert past["contracts"][0]["mark"]["price"] == "12"

    window = {"begins": DAY.begins + timedelta(days=2), "ends": DAY.ends + timedelta(days=2), "day": date(2013, 3, 2)}
    newest = document(material(events=events, closes=closes, marks=[mark], ever_closed=[], **window))
    assert newest["metrics"]["final_equity"] == pytest.approx(100_000)
    assert newest["metrics"]["total_return"] == pytest.approx(790 / (100_000 - 790))


def test_where_more_was_earned_than_is_left_there_is_no_return() -> None:
    account = material()["account"] | {"net_liquidation": D(150)}  # 198 were earned: money was paid out
    found = document(material(account=account))
    assert (found["metrics"]["trades"], found["metrics"]["win_rate"]) == (1, 1)
    assert {"total_return", "turnover", "sharpe", "max_drawdown", "final_equity"} & set(found["metrics"]) == set()
    assert any("money was paid out" in note for note in found["to_know"])
    assert "Win" in daily(found) or "Won" in daily(found)


@given(
    deals=st.lists(st.tuples(st.integers(0, 9), st.integers(-50, 50), st.integers(1, 30)), min_size=1, max_size=12),
    closes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
)
def test_the_curve_is_what_all_executions_of_until_then_have_earned(
    deals: list[tuple[int, int, int]], closes: list[int]
) -> None:
    """Said in the slow way: every day from the first execution on."""
    executions = [an_execution(*deal) for deal in deals]
    days = [(2 * number, {APPLE: float(price)}) for number, price in enumerate(closes)]
    for (moment, earned, gross), (_, known) in zip(earned_by_day(executions, days), days, strict=True):
        before = [each for each in executions if each.time_us <= moment]
        held = sum(each.quantity for each in before)
        assert earned == pytest.approx(held * known[APPLE] - sum(each.quantity * each.price + 1 for each in before))
        assert gross == pytest.approx(abs(held * known[APPLE]))


def test_the_curve_looks_at_every_execution_once_however_many_days_there_are() -> None:
    looks = 0

    class Watched(float):
        def __mul__(self, other: float) -> float:
            nonlocal looks
            looks += 1
            return float(self) * other

    executions = [an_execution(number, Watched(1), 10) for number in range(50)]
    found = earned_by_day(executions, [(number, {APPLE: 11.0}) for number in range(50)])
    assert looks == 50
    assert found[-1] == (49, 0, 550)  # a dollar each


def an_execution(moment: int, quantity: float, price: float) -> Execution:
    return Execution(APPLE, 0, moment, quantity, price, 0.0, 1.0, "")


def test_the_page_shows_the_document_escapes_it_and_asks_nobody_for_anything() -> None:
    page = daily(document(material()))
    for shown in ("+198.00", "quantity_max", "Round trips that ended", "Reconciliation", "basis points", "order-1"):
        assert shown in page
    assert "<b>too many" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_less_than_what_is_shown_is_nothing_and_not_less_than_nothing() -> None:
    found = document(material())
    found["slippage"]["delay"] = found["slippage"]["orders"][0]["delay"] = found["pnl"]["net"] = "-0.0001"
    found["slippage"]["basis_points"], found["metrics"]["sharpe"] = "-0.00001", -0.001
    page = daily(found)
    assert "delay 0.00" in page
    assert "<span>0.00</span>" in page
    for shown in ("-0.00", ">-0<", "-0 basis"):
        assert shown not in page


def test_nothing_is_never_said_to_be_less_than_nothing() -> None:
    order = material()["orders"][0] | {"decided": "9.99", "seen": "9.99", "bid": None, "ask": None}
    costs = document(material(orders=[order | {"side": "SELL"}]))["slippage"]

    assert (costs["delay"], costs["orders"][0]["delay"]) == ("0", "0")


TOLD = datetime(2026, 11, 22, 7, 50, 2, tzinfo=UTC)
"""When the broker told what is held, by this machine's clock, in the market of 2013."""


def told_to_hold(shares: str, *heard: tuple[float, int]) -> dict[str, Any]:
    """Of Apple, by the broker; and what we heard of at so many seconds after that, as the market of 2013 had it."""
    account = material()["account"] | {"positions": {str(APPLE): shares}, "ingest_time": TOLD}
    events = [
        executed(str(number), quantity, "10", 12, ingest_time=TOLD + timedelta(seconds=seconds))
        for number, (seconds, quantity) in enumerate(heard)
    ]
    found: dict[str, Any] = document(material(events=events, account=account))
    return found


def test_what_was_executed_since_the_broker_counted_is_no_disagreement() -> None:
    """It tells what is held now and then: what we have heard of in between cannot be in it."""
    found = told_to_hold("100", (-60, 100), (8, 1), (14, 1), (14, 1))["reconciliation"]

    assert (found["agrees"], found["differences"], found["executions_since"]) == (True, [], 3)
    assert _books(found) == "agree, as of 07:50:02 UTC, 3 executions since then not compared"
    assert _books(told_to_hold("100", (-60, 100), (8, 1))["reconciliation"]).endswith(
        ", 1 execution since then not compared"
    )


@pytest.mark.parametrize(("seconds", "counted"), [(-1, "100"), (1, "101"), (-4.9, "100"), (4.9, "101")])
def test_an_execution_around_the_broker_s_count_may_be_in_it_or_not(seconds: float, counted: str) -> None:
    found = told_to_hold(counted, (-60, 100), (seconds, 1))

    books = found["reconciliation"]
    assert (books["agrees"], books["differences"]) == (None, [])
    assert "AAPL was executed around the broker's count of 07:50:02 UTC, within 5 seconds" in books["not_compared"]
    assert _books(books).startswith("not compared since 07:50:02 UTC: AAPL was executed around")
    assert f"not compared: {books['not_compared']}".replace("'", "&#x27;") in daily(found)


@pytest.mark.parametrize("heard", [[], [(-1.0, 1)], [(1.0, 1), (2.0, -1)], [(60.0, 7)], [(-10.0, 7), (10.0, -7)]])
def test_what_no_execution_around_the_count_explains_is_told_as_a_difference(heard: list[tuple[float, int]]) -> None:
    found = told_to_hold("93", (-60, 100), *heard)

    ((symbol, theirs),) = [(each["symbol"], each["theirs"]) for each in found["reconciliation"]["differences"]]
    assert (found["reconciliation"]["agrees"], symbol, theirs) == (False, "AAPL", "93")
    assert _books(found["reconciliation"]).startswith("DO NOT AGREE, as of 07:50:02 UTC")
    assert "do not agree" in daily(found)


def test_a_correction_counts_from_when_we_heard_of_it() -> None:
    bought = executed("1", 100, "10", ingest_time=TOLD - timedelta(minutes=1))
    busted = FillBusted(
        execution_id="1", revision=2, account_id=ACCOUNT, contract_id=APPLE, event_time=bought.event_time,
        ingest_time=TOLD + timedelta(minutes=1),
    )  # fmt: skip

    assert compared([busted, bought], {APPLE: D(100)}, TOLD).agrees
    assert compared([busted, bought], {}, TOLD + timedelta(minutes=2)).agrees
    assert compared([busted, bought], {APPLE: D(100)}, TOLD + timedelta(minutes=2)).agrees is False


def test_what_the_executor_has_found_stands_beside_the_comparison() -> None:
    found = told_to_hold("101", (-60, 100), (1, 1))["reconciliation"]
    halted = found | {"mode": "HALTED", "by": "executor", "reason": "contract 265598: we count 100, the broker 101"}

    assert _books(halted).endswith(
        "; the executor has halted the account: contract 265598: we count 100, the broker 101"
    )
    assert "halted" not in _books(halted | {"by": "ann"})


def test_slippage_below_nothing_is_said_to_be_a_gain() -> None:
    assert [_better(cost) for cost in ("-12", "0", "12", "-0.001", None)] == [
        " (minus: better than decided)", "", "", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("market", "newest", "refused"),
    [
        (datetime(2013, 2, 28, 20, tzinfo=UTC), None, MarketDayNotBegunError),
        (datetime(2013, 2, 28, 20, tzinfo=UTC), date(2013, 12, 31), MarketDayNotBegunError),
        (datetime(2013, 12, 31, 20, tzinfo=UTC), date(2014, 1, 1), None),
        (datetime(2030, 2, 28, 20, tzinfo=UTC), None, None),
        (None, None, None),
        (TOLD - timedelta(days=4), None, None),
    ],
)
def test_which_day_has_begun_is_asked_of_the_market_where_it_lives_in_the_past(
    market: datetime | None, newest: date | None, refused: type[Exception] | None
) -> None:
    day = date(2014, 1, 1) if market is not None and market.year < 2020 else TOLD.date()
    with pytest.raises(refused, match=f"the day {day} has not begun") if refused else contextlib.nullcontext():
        refuse_future(day, newest, market, TOLD)


def test_a_day_of_the_future_is_refused_by_our_date_where_the_market_is_of_today() -> None:
    with pytest.raises(NotBegunError, match="the day 2026-11-23 has not begun: in New York it is 2026-11-22"):
        refuse_future(date(2026, 11, 23), None, TOLD, TOLD)


def test_a_day_on_which_nothing_happened_has_a_page_too() -> None:
    nothing: dict[str, Any] = {
        name: [] for name in ("events", "trades", "orders", "denials", "reasons", "revised", "ever_closed")
    }
    found = document(material(**nothing, account=None))
    assert found["pnl"]["net"] == "0"
    assert "Nothing was held or traded." in daily(found)
