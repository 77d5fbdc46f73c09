"""Orders by columns are `self.aim` bar by bar: random targets, prices, protection, costs and rules, to the last bit."""

import math
import random
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backtest import BacktestResult, run
from engine.column_path import ColumnPathError, Orders, Shown, run_columns, sweep
from engine.columns import BarColumns, Floats
from engine.facts import Bar
from engine.options import BacktestOptions
from engine.order_requests import OrderRequestError
from engine.strategy import BaseStrategy, Decision, StrategyConfig, StrategySignal
from tests.bars import bars_of, columns_of
from tests.unit.a_column_market import a_market, some_options, some_targets

SEEDS = st.integers(0, 10**6)
LEVELS = ("price", "stop", "take_profit", "trail")


class Played(BaseStrategy):
    """Gives the orders it was given, in both ways."""

    orders: ClassVar[Orders]
    """In the order of the rows."""
    bars: ClassVar[BarColumns]

    def on_start(self) -> None:
        ids, ends = self.bars.contract_id.tolist(), self.bars.end_us.tolist()
        self.row_of = {key: row for row, key in enumerate(zip(ids, ends, strict=True))}

    def on_bar(self, bar: Bar) -> Decision:
        row = self.row_of[bar.contract_id, bar.end_us]
        target = float(self.orders.targets[row])
        if math.isnan(target):
            return None
        found = {name: float(column[row]) for name, column in self.orders.levels if column is not None}
        levels: dict[str, Any] = {name: level for name, level in found.items() if not math.isnan(level)}
        self.aim(target, kind=self.orders.kind if "price" in levels else None, **levels)
        return None

    def targets(self, columns: Shown) -> Orders:
        order = np.concatenate(list(self.bars.rows.values()))
        found = {name: None if column is None else column[order] for name, column in self.orders.levels}
        return Orders(self.orders.targets[order], self.orders.kind, **found)


def playing(columns: BarColumns, orders: Orders) -> type[BaseStrategy]:
    return type("Playing", (Played,), {"orders": orders, "bars": columns})


def some_orders(chance: random.Random, columns: BarColumns) -> Orders:
    """Any levels near the close, each used or not, with gaps in it."""
    targets = some_targets(chance, columns)
    found: dict[str, Floats | None] = dict.fromkeys(LEVELS)
    for name in LEVELS:
        if chance.random() < 0.6:
            filled = chance.choice((0.5, 1.0))
            found[name] = np.array([_level(chance, name, price) if chance.random() < filled else np.nan
                                    for price in columns.close.tolist()])  # fmt: skip
    if found["stop"] is not None and found["trail"] is not None:
        found["trail"] = np.where(np.isnan(found["stop"]), found["trail"], np.nan)
    return Orders(targets, chance.choice(("LMT", "STP")), **found)


def _level(chance: random.Random, name: str, price: float) -> float:
    if name == "trail":
        return chance.randint(1, 8) / 100
    return round(price + chance.randint(-8, 8) / 100, 2)


def some_rules(chance: random.Random) -> dict[str, Any]:
    return {
        "fill": chance.choice(("next_open", "next_open", "worst_of_bar", "volume_participation")),
        "participation": chance.choice((0.05, 0.1, 0.25)),
        "limit_fill": chance.choice(("through", "touch")),
        "both_reached": chance.choice(("stop_first", "target_first", "nearest_first")),
    }


def _fills(result: BacktestResult) -> list[tuple[Any, ...]]:
    return [
        (each.contract_id, each.row, each.time_us, each.quantity, each.price, each.slippage, each.commission)
        for each in result.executions
    ]


def _both(columns: BarColumns, strategy: type[BaseStrategy], options: BacktestOptions) -> int:
    by_events = run(columns, strategy, options=options)
    by_columns = run_columns(columns, strategy, options=options)

    assert _fills(by_columns) == _fills(by_events)
    assert by_columns.curve.equity.tolist() == by_events.curve.equity.tolist()
    assert by_columns.curve.gross.tolist() == by_events.curve.gross.tolist()
    assert by_columns.unfilled == by_events.unfilled
    assert by_columns.result_hash == by_events.result_hash
    return len(by_events.executions)


def _play(seed: int, contracts: int) -> int:
    chance = random.Random(seed)
    columns = a_market(chance, contracts)
    return _both(columns, playing(columns, some_orders(chance, columns)), some_options(chance, **some_rules(chance)))


@given(seed=SEEDS)
@settings(max_examples=250, deadline=None)
def test_orders_of_one_contract_fill_the_same(seed: int) -> None:
    _play(seed, 1)


@given(seed=SEEDS, contracts=st.integers(2, 4))
@settings(max_examples=100, deadline=None)
def test_of_several_contracts_too(seed: int, contracts: int) -> None:
    _play(seed, contracts)


def test_the_random_orders_do_trade() -> None:
    assert sum(_play(seed, 1 + seed % 2) for seed in range(40)) > 400


@given(seed=SEEDS, contracts=st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_plain_targets_fill_the_same_by_the_other_fill_models(seed: int, contracts: int) -> None:
    chance = random.Random(seed)
    columns = a_market(chance, contracts)
    orders = Orders(some_targets(chance, columns))
    rules = some_rules(chance) | {"fill": chance.choice(("worst_of_bar", "volume_participation"))}

    class Targets(Played):
        """Returns its targets instead of aiming."""

        def on_bar(self, bar: Bar) -> Decision:
            target = float(orders.targets[self.row_of[bar.contract_id, bar.end_us]])
            return None if math.isnan(target) else StrategySignal.target(bar.contract_id, target)

        def targets(self, columns: Shown) -> Orders | Floats:  # type: ignore[override] # wider than its parent's
            return np.asarray(orders.targets[np.concatenate(list(self.bars.rows.values()))])

    _both(columns, type("Targets", (Targets,), {"bars": columns}), some_options(chance, **rules))


def test_a_sweep_scores_orders_too() -> None:
    chance = random.Random(8)
    columns = a_market(chance, 1)
    strategy = playing(columns, some_orders(chance, columns))

    scores = sweep(columns, strategy, [StrategyConfig()] * 2)
    by_events = run(columns, strategy)

    assert scores.final_equity.tolist() == [by_events.curve.equity[-1]] * 2
    assert scores.fills.tolist() == [len(by_events.executions)] * 2


# what an aim means, by hand

FREE = BacktestOptions(commission="none", commission_rate=0, slippage="none", slippage_rate=0)
FLAT = [10.0] * 8


def _aimed(closes: list[float], aims: dict[int, tuple[float, dict[str, Any]]]) -> list[tuple[int, float, float]]:
    """(row, quantity, price) of the fills of a strategy that aims so at those rows, by both ways."""
    columns = columns_of(bars_of(closes))
    found: dict[str, Floats | None] = dict.fromkeys(LEVELS)
    targets = np.full(len(closes), np.nan)
    for row, (target, levels) in aims.items():
        targets[row] = target
        for name, level in levels.items():
            column = found[name]
            found[name] = column = np.full(len(closes), np.nan) if column is None else column
            column[row] = level
    strategy = playing(columns, Orders(targets, "LMT", **found))
    _both(columns, strategy, FREE)
    return [(each.row, each.quantity, each.price) for each in run_columns(columns, strategy, options=FREE).executions]


def test_a_limit_entry_waits_until_the_next_aim() -> None:
    falling = [10.0, 10.0, 10.0, 8.0, 8.0, 8.0]

    assert _aimed(falling, {0: (1.0, {"price": 9.0})}) == [(3, 100.0, 9.0)]
    assert _aimed(falling, {0: (1.0, {"price": 9.0}), 2: (0.0, {})}) == []
    assert _aimed(falling, {0: (1.0, {"price": 9.0}), 2: (1.0, {"price": 8.5})}) == [(3, 100.0, 8.5)]


def test_a_stop_and_a_target_end_what_was_entered_and_each_other() -> None:
    levels = {"stop": 9.0, "take_profit": 11.0}

    assert _aimed([10.0, 10.0, 8.0, 12.0], {0: (1.0, levels)}) == [(1, 100.0, 10.0), (2, -100.0, 9.0)]
    assert _aimed([10.0, 10.0, 12.0, 8.0], {0: (1.0, levels)}) == [(1, 100.0, 10.0), (2, -100.0, 11.0)]


def test_a_trail_follows_the_best_price() -> None:
    assert _aimed([10.0, 10.0, 12.0, 12.0, 10.0], {0: (1.0, {"trail": 1.0})}) == [(1, 100.0, 10.0), (4, -100.0, 11.0)]


def test_a_protected_aim_changes_nothing_on_its_side_and_turns_on_the_other() -> None:
    same = {0: (1.0, {"stop": 5.0}), 2: (0.5, {"stop": 9.9})}
    turned = {0: (1.0, {"stop": 5.0}), 2: (-1.0, {"stop": 15.0})}

    assert _aimed([*FLAT, 9.0], same) == [(1, 100.0, 10.0)]
    assert _aimed([*FLAT, 16.0], turned) == [
        (1, 100.0, 10.0),
        (3, -100.0, 10.0),
        (3, -100.0, 10.0),
        (8, 100.0, 15.0),
    ]


def test_an_aim_without_protection_takes_it_away() -> None:
    assert _aimed([*FLAT, 4.0], {0: (1.0, {"stop": 5.0}), 2: (0.5, {})}) == [(1, 100.0, 10.0), (3, -50.0, 10.0)]


# what cannot be


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "MOC"}, "know LMT and STP entries, and MKT where no price is given, not MOC"),
        ({"price": np.ones(2)}, r"price has shape \(2,\)"),
        ({"stop": np.array([1.0, np.inf, 1.0])}, "stop is infinite in bar 1"),
        ({"trail": np.array([1.0, 0.0, 1.0])}, "trail must be above zero"),
        ({"stop": np.ones(3), "trail": np.ones(3)}, "by a stop or by a trail, not by both"),
    ],
)
def test_orders_that_cannot_be_are_refused_by_name(given: dict[str, Any], told: str) -> None:
    columns = columns_of(bars_of([10.0, 11.0, 12.0]))
    strategy = type("Wrong", (BaseStrategy,), {"targets": lambda self, shown: Orders(np.ones(3), **given)})

    with pytest.raises(ColumnPathError, match=f"Wrong.targets: .*{told}"):
        run_columns(columns, strategy)


def test_a_queue_before_limit_orders_is_not_known() -> None:
    columns = columns_of(bars_of([10.0, 11.0, 12.0]))
    orders = Orders(np.array([1.0, np.nan, 0.0]), price=np.full(3, 9.0))

    with pytest.raises(ColumnPathError, match="no queue before a limit order: run it bar by bar"):
        run_columns(columns, playing(columns, orders), options=BacktestOptions(limit_fill="queue"))


@pytest.mark.parametrize(
    ("target", "terms", "told"),
    [
        (1.5, {}, "lies in"),
        (1.0, {"kind": "MOC"}, "not by MOC"),
        (1.0, {"kind": "LMT"}, "needs price"),
        (1.0, {"stop": 1.0, "trail": 1.0}, "not by both"),
        (1.0, {"stop": math.inf}, "stop is no amount"),
        (1.0, {"contract_id": 5}, "contract 5, which is not in this run"),
    ],
)
def test_an_aim_that_cannot_be_says_why(target: float, terms: dict[str, Any], told: str) -> None:
    class Aims(BaseStrategy):
        """Aims wrongly."""

        def on_bar(self, bar: Bar) -> Decision:
            with pytest.raises(OrderRequestError, match=told):
                self.aim(target, **terms)
            return None

    run(columns_of(bars_of([10.0, 11.0])), Aims)
