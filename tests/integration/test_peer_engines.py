"""The crossover on thirteen years of Apple, fill by fill as three independent engines have it.

The peers are in the extra `bench`; where they are not installed their tests are skipped, and what they said is kept
here as a hash. `python -m tests.integration.test_peer_engines` made it with backtesting 0.6.6, vectorbt 1.2.0 and bt
1.4.1, which print the same one: SHA-256 over a line for each fill of its date, signed quantity, price and commission.

What the peers are told is computed here without the engine, from whole cents, so that a tie of two averages is one.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from engine.backtest import BacktestOptions, BacktestResult, run
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from schemas.moments import to_datetime
from tests.bars import real_daily

FILLS = 116
FILLS_SHA256 = "9c7c1d54c851d7e48a29368ea4c2fa9cc54106fda027d05a9c85e4a3156622cf"
FINAL_EQUITY = 1_041_956.67204
FAST, SLOW, SHARES, FEE, CASH = 10, 30, 100, 0.001, 1_000_000.0

Fill = tuple[str, int, float, float]
"""Date, signed quantity, price, commission."""


@dataclass(frozen=True)
class Told:
    """What one engine says."""

    fills: list[Fill]
    equity: list[float]


def digest(fills: list[Fill]) -> str:
    lines = (f"{day} {quantity:+d} {price:.2f} {commission:.6f}\n" for day, quantity, price, commission in fills)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def prices() -> dict[str, Any]:
    """Columns by name, and the days."""
    columns = real_daily("AAPL")
    days = [f"{to_datetime(each):%Y-%m-%d}" for each in columns.start_us.tolist()]
    return {"day": days, **{name: getattr(columns, name).copy() for name in ("open", "high", "low", "close", "volume")}}


def crossings(close: Any) -> tuple[Any, Any]:
    """Where 10-day above 30-day begins and ends: sums of whole cents, cross-multiplied, so ties are exact."""
    cents = np.rint(close * 100).astype(np.int64)
    sums = np.concatenate(([0], np.cumsum(cents)))
    distance = [
        SLOW * int(sums[n] - sums[n - FAST]) - FAST * int(sums[n] - sums[n - SLOW]) for n in range(SLOW, len(close) + 1)
    ]
    above, below = np.zeros(len(close), dtype=bool), np.zeros(len(close), dtype=bool)
    for place, (before, now) in enumerate(pairwise(distance), start=SLOW):
        above[place], below[place] = before <= 0 < now, before >= 0 > now
    return above, below


def ours() -> BacktestResult:
    return run(
        real_daily("AAPL"),
        MovingAverageCrossover,
        MovingAverageCrossover.Config(fast=FAST, slow=SLOW),
        BacktestOptions(cash=CASH, quantity=SHARES, commission="bps", commission_rate=FEE * 10_000),
    )


def of_result(result: BacktestResult) -> Told:
    fills = [
        (f"{to_datetime(each.time_us):%Y-%m-%d}", int(each.quantity), each.price, each.commission)
        for each in result.executions
    ]
    return Told(fills, result.curve.equity.tolist())


def of_backtesting() -> Told:
    """backtesting.py: its broker, its trades, its equity."""
    backtesting, pandas = pytest.importorskip("backtesting"), pytest.importorskip("pandas")
    given = prices()
    above, below = crossings(given["close"])
    frame = pandas.DataFrame(
        {name.capitalize(): given[name] for name in ("open", "high", "low", "close", "volume")},
        index=pandas.DatetimeIndex(given["day"]),
    )

    class Peer(backtesting.Strategy):  # type: ignore[misc, name-defined] # the peers ship no types
        """The same decisions."""

        def init(self) -> None:
            """Nothing to compute."""

        def next(self) -> None:
            place = len(self.data) - 1
            if above[place] and not self.position:
                self.buy(size=SHARES)
            elif below[place] and self.position:
                self.position.close()

    stats = backtesting.Backtest(frame, Peer, cash=CASH, commission=FEE, finalize_trades=True).run()
    trades = stats["_trades"]
    fills = []
    for trade in trades.itertuples():
        fills.append((f"{trade.EntryTime:%Y-%m-%d}", SHARES, trade.EntryPrice, SHARES * trade.EntryPrice * FEE))
        fills.append((f"{trade.ExitTime:%Y-%m-%d}", -SHARES, trade.ExitPrice, SHARES * trade.ExitPrice * FEE))
        assert trade.Commission == pytest.approx(fills[-1][3] + fills[-2][3])
    return Told(fills, stats["_equity_curve"]["Equity"].tolist())


def of_vectorbt() -> Told:
    """vectorbt: orders from signals, one bar later, at the open."""
    vectorbt, pandas = pytest.importorskip("vectorbt"), pytest.importorskip("pandas")
    given = prices()
    above, below = crossings(given["close"])
    index = pandas.DatetimeIndex(given["day"])
    entries, exits = (pandas.Series(np.concatenate(([False], each[:-1])), index=index) for each in (above, below))
    portfolio = vectorbt.Portfolio.from_signals(
        pandas.Series(given["close"], index=index),
        entries=entries,
        exits=exits,
        price=pandas.Series(given["open"], index=index),
        size=float(SHARES),
        fees=FEE,
        init_cash=CASH,
    )
    orders = portfolio.orders.records
    fills = [
        (given["day"][int(row)], int(size) * (1 if side == 0 else -1), float(price), float(fee))
        for row, size, side, price, fee in zip(
            orders["idx"], orders["size"], orders["side"], orders["price"], orders["fees"], strict=True
        )
    ]
    return Told(fills, portfolio.value().tolist())


def of_bt() -> Told:
    """bt: it trades at the one price that it knows of a day: it is given the opens, and decisions of the day before."""
    bt, pandas = pytest.importorskip("bt"), pytest.importorskip("pandas")
    given = prices()
    above, below = crossings(given["close"])
    index = pandas.DatetimeIndex(given["day"])
    places = {day: place for place, day in enumerate(index)}

    class Decide(bt.Algo):  # type: ignore[misc, name-defined] # the peers ship no types
        """Yesterday's crossing, traded today."""

        def __call__(self, target: Any) -> bool:
            place = places.get(target.now, 0) - 1
            held = target["AAPL"].position if "AAPL" in target.children else 0
            if place >= 0 and above[place] and not held:
                target.transact(SHARES, child="AAPL")
            elif place >= 0 and below[place] and held:
                target.transact(-SHARES, child="AAPL")
            return True

    test = bt.Backtest(
        bt.Strategy("crossover", [Decide()]),
        pandas.DataFrame({"AAPL": given["open"]}, index=index),
        initial_capital=CASH,
        commissions=lambda quantity, price: abs(quantity) * price * FEE,
        progress_bar=False,
    )
    bt.run(test)
    made = test.strategy.get_transactions().reset_index()
    fills = [
        (f"{day:%Y-%m-%d}", int(quantity), float(price), abs(quantity) * price * FEE)
        for day, price, quantity in zip(made["Date"], made["price"], made["quantity"], strict=True)
    ]
    cash, held, left = CASH, 0, list(fills)
    equity = []
    for day, close in zip(given["day"], given["close"].tolist(), strict=True):
        while left and left[0][0] == day:
            _, quantity, price, commission = left.pop(0)
            cash -= quantity * price + commission
            held += quantity
        equity.append(cash + held * close)
    assert test.strategy.fees.sum() == pytest.approx(sum(each[3] for each in fills))
    return Told(fills, equity)


def test_our_fills_are_those_that_three_other_engines_had() -> None:
    told = of_result(ours())

    assert len(told.fills) == FILLS
    assert digest(told.fills) == FILLS_SHA256
    assert told.equity[-1] == pytest.approx(FINAL_EQUITY, abs=0.005)


@pytest.mark.timeout(600)  # a peer is compiled when it first runs, which takes 16 s of a processor that is ours alone
@pytest.mark.parametrize("peer", [of_backtesting, of_vectorbt, of_bt], ids=lambda each: each.__name__)
@pytest.mark.filterwarnings("ignore")  # the peers warn of their own ways with pandas
def test_a_peer_agrees_fill_by_fill_and_to_the_cent_of_equity_every_day(peer: Any) -> None:
    theirs, told = peer(), of_result(ours())

    assert [each[:2] for each in theirs.fills] == [each[:2] for each in told.fills]
    for place in (2, 3):
        assert [each[place] for each in theirs.fills] == pytest.approx([each[place] for each in told.fills], rel=1e-12)
    assert digest(theirs.fills) == FILLS_SHA256
    assert theirs.equity == pytest.approx(told.equity, abs=0.005)


if __name__ == "__main__":
    for said in (of_result(ours()), of_backtesting(), of_vectorbt(), of_bt()):
        print(len(said.fills), digest(said.fills), said.equity[-1])
