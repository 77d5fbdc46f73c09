"""What changes an account beside executions, to the cent: splits, dividends, interest, borrowing, currencies, sizes."""

import math
from typing import ClassVar

import numpy as np
import pytest

from engine.backtest import BacktestOptions, BacktestResult, run
from engine.facts import Bar, CorporateAction, Dividend, Split
from engine.market import Market, MarketError, Rates
from engine.sizing import (
    Odds,
    SizingError,
    kelly_quantity,
    percent_of_equity,
    risk_per_trade,
    volatility_target,
)
from engine.strategy import BaseStrategy, Decision, StrategySignal
from tests.bars import APPLE, IBM, bars_of, columns_of, random_bars

FREE = BacktestOptions(commission="none", slippage="none", cash=10_000)


class Planned(BaseStrategy):
    """Takes, at the close of bar n, the target that its plan names for n; may leave orders to work as well."""

    plan: ClassVar[dict[int, float]] = {}
    orders: ClassVar[dict[int, dict[str, object]]] = {}
    told: ClassVar[list[CorporateAction]]

    def on_start(self) -> None:
        self.count = -1
        type(self).told = []

    def on_bar(self, bar: Bar) -> Decision:
        self.count += 1
        if terms := dict(self.orders.get(self.count, {})):
            self.order(terms.pop("quantity"), tif="GTC", **terms)  # type: ignore[arg-type] # as the test says
        return StrategySignal.target(APPLE, self.plan[self.count]) if self.count in self.plan else None

    def on_corporate_action(self, action: CorporateAction) -> None:
        self.told.append(action)


def planned(
    plan: dict[int, float],
    bars: list[Bar],
    market: Market | None = None,
    orders: dict[int, dict[str, object]] | None = None,
    **options: object,
) -> BacktestResult:
    strategy = type("Planned", (Planned,), {"plan": plan, "orders": orders or {}})
    chosen = BacktestOptions(commission="none", slippage="none", **{"cash": 10_000.0, **options})  # type: ignore[arg-type] # as the test says
    return run(columns_of(bars), strategy, options=chosen, market=market)


def test_a_split_changes_the_position_and_not_the_equity() -> None:
    bars = bars_of([20.0, 20.0, 10.0, 11.0], [20.0, 20.0, 10.0, 10.0])
    market = Market(actions=(Split(APPLE, bars[2].start_us, 2.0),))

    result = planned({0: 1.0, 2: 0.0}, bars, market)

    assert [(each.row, each.quantity, each.price) for each in result.executions] == [
        (1, 100.0, 20.0),
        (3, -200.0, 10.0),
    ]
    assert result.curve.equity.tolist() == [10_000.0] * 4
    (trip,) = result.round_trips
    assert (trip.quantity, trip.entry_price, trip.exit_price, trip.pnl) == (200.0, 10.0, 10.0, 0.0)


def test_a_reverse_split_pays_out_the_part_of_a_share_that_cannot_be_held() -> None:
    bars = bars_of([20.0, 20.0, 66.0, 66.0], [20.0, 20.0, 60.0, 66.0])
    market = Market(actions=(Split(APPLE, bars[2].start_us, 1 / 3),))

    result = planned({0: 1.0}, bars, market)

    # 100 shares become 33 and a third, which is worth 20.00 at the open of 60
    assert result.turns.splits[0].held == 33.0
    (paid,) = result.turns.flows
    assert (paid.kind, round(paid.amount, 9)) == ("fraction of a share", 20.0)
    assert result.curve.equity[-1] == pytest.approx(8000 + 33 * 66 + 20)
    (trip,) = result.round_trips
    assert trip.pnl == pytest.approx(33 * 66 + 20 - 2000)


def test_a_dividend_is_paid_on_the_ex_date_to_the_holder_and_by_the_short() -> None:
    bars = bars_of([20.0, 20.0, 19.5, 19.5], [20.0, 20.0, 19.5, 19.5])
    market = Market(actions=(Dividend(APPLE, bars[2].start_us, 0.5), Dividend(IBM, bars[2].start_us, 9.0)))

    held, short, late = (planned({at: each}, bars, market) for at, each in ((0, 1.0), (0, -1.0), (1, 1.0)))

    assert held.curve.equity.tolist() == [10_000.0] * 4
    assert short.curve.equity.tolist() == [10_000.0] * 4
    assert [(each.kind, each.amount) for each in held.turns.flows] == [("dividend", 50.0)]
    assert late.turns.flows == ()  # bought at the open of the ex-date


def test_orders_that_work_are_changed_with_the_price() -> None:
    bars = bars_of([20.0, 20.0, 10.0, 9.0, 9.0], [20.0, 20.0, 10.0, 10.0, 9.0])
    market = Market(actions=(Split(APPLE, bars[2].start_us, 2.0), Dividend(APPLE, bars[3].start_us, 0.25)))
    limit = {"quantity": 50.0, "kind": "LMT", "limit": 19.0}
    stop = {"quantity": -10.0, "kind": "STP", "stop": 18.6}

    result = planned({}, bars, market, {0: limit, 1: stop})

    # the limit: 19.00, then 9.50, then 9.25; the stop: 18.60, then 9.30, then 9.05
    assert [(each.row, each.quantity, each.price) for each in result.executions] == [(3, -20.0, 9.05), (3, 100.0, 9.25)]


def test_every_strategy_hears_of_its_contracts_actions() -> None:
    bars = bars_of([20.0, 20.0, 10.0])
    split = Split(APPLE, bars[2].start_us, 2.0)

    run(columns_of(bars), Planned, options=FREE, market=Market(actions=(split,)))

    assert Planned.told == [split]


def test_borrowed_cash_and_borrowed_shares_cost_by_the_night_and_weekends_three() -> None:
    bars = bars_of([20.0] * 6)  # Monday to Saturday, the sixth bar being the next Saturday's
    debt = planned({0: 1.0}, bars, cash=1000.0, financing_percent=3.6, borrow_percent=9.0)
    short = planned({0: -1.0}, bars, cash=1000.0, financing_percent=3.6, borrow_percent=9.0)

    # a debt of 1,000 at 3.6 % costs 0.10 a night; 2,000 of borrowed shares at 9 % cost 0.50
    assert [each.amount for each in debt.turns.flows] == [
        pytest.approx(-0.1),
        pytest.approx(-0.10001),
        pytest.approx(-0.10002),
        pytest.approx(-0.10003),
    ]
    assert [(each.kind, round(each.amount, 9)) for each in short.turns.flows] == [("borrowing", -0.5)] * 4
    assert short.curve.equity[-1] == pytest.approx(998.0)

    friday_to_monday = [bars[0], bars_of([20.0] * 9)[1], bars_of([20.0] * 9)[4], bars_of([20.0] * 9)[7]]
    assert planned({0: -1.0}, friday_to_monday, borrow_percent=9.0).turns.flows[-1].amount == pytest.approx(-1.5)


def test_a_contract_of_another_currency_is_bought_valued_and_sold_at_the_rate_of_the_day() -> None:
    bars = bars_of([20.0, 20.0, 22.0, 22.0], [20.0, 20.0, 21.0, 22.0])
    rates = Rates(np.array([bars[0].start_us, bars[2].start_us]), np.array([1.1, 1.2]))
    market = Market(currencies={APPLE: "EUR"}, rates={"EUR": rates})

    result = planned({0: 1.0, 2: 0.0}, bars, market)

    bought, sold = 2000 * 1.1, 2200 * 1.2
    assert [each.rate for each in result.executions] == [1.1, 1.2]
    assert result.curve.equity.tolist() == pytest.approx(
        [10_000, 10_000, 10_000 - bought + 2200 * 1.2, 10_000 - bought + sold]
    )
    (trip,) = result.round_trips
    assert (trip.entry_price, trip.exit_price, trip.pnl) == pytest.approx((20.0, 22.0, sold - bought))


def test_what_cannot_be_of_a_market_says_so() -> None:
    with pytest.raises(MarketError, match="no rates for EUR"):
        Market(currencies={APPLE: "EUR"})
    with pytest.raises(MarketError, match="ratio above zero"):
        Market(actions=(Split(APPLE, 0, 0.0),))
    with pytest.raises(MarketError, match="ascend"):
        Rates(np.array([1, 1]), np.array([1.0, 1.0]))


def test_the_formulas_of_position_sizes() -> None:
    odds = Odds()
    for gain in (30.0, 30.0, 30.0, -10.0, -20.0):
        odds.note(gain)

    assert percent_of_equity(10_000, 25.0, 50.0) == 200.0
    assert risk_per_trade(10_000, 1.25, 1.0) == 40.0  # a loss of 100 at 2 * 1.25 a share
    assert volatility_target(10_000, 25.0, 0.4, 20.0) == pytest.approx(200.0)
    assert odds.kelly == pytest.approx(0.6 - 0.4 / (30 / 15))
    assert kelly_quantity(10_000, 25.0, odds, 50.0) == pytest.approx(80.0)
    assert [percent_of_equity(-5, 1.0, 50.0), risk_per_trade(1, 0.0, 1.0), volatility_target(1, 1.0, 0.0, 1.0)] == [
        0
    ] * 3
    assert [Odds().kelly, Odds(wins=2, won=3.0).kelly, Odds(losses=2, lost=3.0).kelly] == [0.0, 1.0, 0.0]


def test_the_sizing_that_is_named_decides_how_much_is_bought() -> None:
    bars = random_bars(4, 120)
    columns = columns_of(bars)

    def bought(sizing: str, percent: float) -> float:
        result = planned({60: 1.0, 61: 1.0, 62: 1.0}, bars, sizing=sizing, sizing_percent=percent)
        (execution,) = result.executions  # the same target again is no reason to buy more
        return execution.quantity

    close, high, low = columns.close, columns.high, columns.low
    ranges = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    atr = float(np.mean(ranges[:14]))
    for each in ranges[14:60]:
        atr += (float(each) - atr) / 14
    changes = np.diff(np.log(close[40:61]))
    volatility = float(np.std(changes, ddof=1)) * math.sqrt(252)

    assert bought("percent_of_equity", 50.0) == math.floor(5000 / close[60])
    assert bought("risk_per_trade", 1.0) == math.floor(100 / (2 * atr))
    assert bought("volatility_target", 10.0) == math.floor(1000 / volatility / close[60])
    assert bought("kelly_fraction", 50.0) == 100.0  # no trades yet: the fixed quantity


def test_kelly_counts_the_trades_closed_so_far() -> None:
    bars = bars_of([10.0, 10.0, 11.0, 11.0] * 30, [11.0, 10.0, 10.0, 11.0] * 30)
    plan = {n: 1.0 if n % 4 == 1 else 0.0 for n in range(120) if n % 2}

    result = planned(plan, bars, sizing="kelly_fraction", sizing_percent=10.0)

    sizes = [each.quantity for each in result.executions if each.quantity > 0]
    assert sizes[:20] == [100.0] * 20
    won = 10_000 + 20 * 100  # every trade won: Kelly would stake all, and a tenth of it is taken
    assert sizes[20] == math.floor(won * 0.1 / 10.0)


@pytest.mark.parametrize(("name", "percent"), [("percent_of_equty", 1.0), ("percent_of_equity", 0.0)])
def test_a_sizing_that_cannot_be_says_so(name: str, percent: float) -> None:
    with pytest.raises(SizingError, match=r"did you mean percent_of_equity|percentage above zero"):
        BacktestOptions(sizing=name, sizing_percent=percent)
