"""Random strategies, prices, costs and order types: the engine and a matcher written twice agree to the last bit."""

import random
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backtest import run
from engine.columns import BarColumns
from engine.facts import Bar
from engine.options import BacktestOptions
from engine.strategy import BaseStrategy, Decision, StrategySignal
from schemas.moments import to_datetime
from tests.bars import APPLE, IBM
from tests.unit.a_plain_matcher import Plain, Script

KINDS = ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "TRAIL LIMIT", "MIT", "LIT", "MOC", "LOC", "MTL")
HOUR_US = 3_600_000_000
FIRST_US = 1_357_570_800_000_000  # 2013-01-07 15:00


def _market(chance: random.Random, contracts: tuple[int, ...]) -> BarColumns:
    """Days of a few bars each, in cents and full of ties; the second contract's bars may be longer than the first's."""
    bars = []
    for number, contract_id in enumerate(contracts):
        hours = chance.choice((1, 2, 3)) if number else 1
        price = 20.0
        for day in range(chance.randint(4, 10)):
            for place in range(6 // hours):
                start = FIRST_US + day * 86_400_000_000 + place * hours * HOUR_US
                moves = [round(price + chance.randint(-6, 6) / 100, 2) for _ in range(4)]
                open_, close = moves[0], moves[1]
                volume = float(chance.choice((0, 100, 300, 1000)))
                bars.append(
                    Bar(contract_id, start, start + hours * HOUR_US, open_, max(moves), min(moves), close, volume)
                )
                price = close
    return BarColumns.of(bars, {APPLE: "AAPL", IBM: "IBM"})


def _terms(chance: random.Random, kind: str, side: int, price: float) -> dict[str, Any]:
    def near() -> float:
        return round(price + chance.randint(-8, 8) / 100, 2)

    terms: dict[str, Any] = {}
    if kind in ("LMT", "STP LMT", "LIT", "LOC"):
        terms["limit"] = near()
    if kind in ("STP", "STP LMT", "MIT", "LIT"):
        terms["stop"] = near()
    if kind.startswith("TRAIL"):
        name = chance.choice(("trail", "trail_percent"))
        terms[name] = chance.randint(1, 8) / 100 if name == "trail" else chance.randint(1, 40) / 100
    if kind == "TRAIL LIMIT":
        terms["limit_offset"] = chance.randint(-3, 6) / 100
    return terms


def _script(chance: random.Random, columns: BarColumns) -> Script:  # noqa: C901 # one kind of deed after the other
    script: Script = {}
    placed = 0
    for row in range(len(columns)):
        deeds = script.setdefault(row, [])
        for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
            contract = chance.choice(columns.contracts)
            price = float(columns.close[row])
            what = chance.choice(("order", "order", "order", "bracket", "cancel", "modify", "target"))
            if what in ("cancel", "modify") and placed:
                terms: dict[str, Any] = {"number": chance.randint(1, placed)}
                if what == "modify":
                    terms["limit"] = round(price + chance.randint(-8, 8) / 100, 2)
            elif what == "bracket":
                side = chance.choice((1, -1))
                away = [chance.randint(1, 7) / 100 for _ in range(2)]
                terms = {"contract": contract, "quantity": side * 10.0 * chance.randint(1, 5)}
                terms |= {"stop": round(price - side * away[0], 2), "target": round(price + side * away[1], 2)}
                kind = chance.choice(("MKT", "LMT", "STP"))
                terms |= {"kind": kind, "tif": chance.choice(("DAY", "GTC"))}
                if kind == "LMT":
                    terms["limit"] = round(price - side * 0.02, 2)
                placed += 3
                if kind == "STP":  # the entry's own trigger would clash with the name of the protective stop
                    terms["kind"] = "MKT"
            elif what == "target":
                terms = {"contract": contract, "value": chance.choice((-1.0, -0.5, 0.0, 0.3, 1.0))}
            else:
                what = "order"
                kind = chance.choice(KINDS)
                tifs = ("DAY",) if kind in ("MOC", "LOC") else ("DAY", "GTC", "IOC", "FOK", "GTD")
                tif = chance.choice(("OPG", *tifs) if kind in ("MKT", "LMT") else tifs)
                side = chance.choice((1, -1))
                terms = {"contract": contract, "quantity": side * 10.0 * chance.randint(1, 5), "kind": kind, "tif": tif}
                terms |= _terms(chance, kind, side, price)
                if tif == "GTD":
                    terms["good_till_us"] = int(columns.end_us[row]) + chance.randint(0, 40) * HOUR_US // 2
                if chance.random() < 0.3:
                    terms["oca"] = chance.choice("ab")
                placed += 1
            deeds.append((what, terms))
    return script


class Scripted(BaseStrategy):
    """Does what its script says for each row."""

    script: ClassVar[Script] = {}

    def on_start(self) -> None:
        self.row = -1
        self.kinds: dict[int, str] = {}

    def on_bar(self, bar: Bar) -> Decision:
        self.row += 1
        signals = []
        for what, terms in self.script.get(self.row, ()):
            if what == "target":
                # returned signals are taken after the handler: a script keeps its order by giving them one at a time
                signals.append(StrategySignal.target(terms["contract"], terms["value"]))
            else:
                self._do(what, dict(terms))
        return signals or None

    def _do(self, what: str, terms: dict[str, Any]) -> None:
        if what == "cancel":
            self.cancel(terms["number"])
        elif what == "modify":
            mine = [each for each in self.working() if each.order_id == terms["number"]]
            if mine and self.kinds.get(terms["number"]) == "LMT":
                self.modify(terms["number"], limit=terms["limit"])
        elif what == "bracket":
            ids = self.bracket(terms.pop("quantity"), contract_id=terms.pop("contract"), **terms)
            self.kinds |= {ids.entry: terms["kind"], ids.stop: "STP", ids.target: "LMT"}
        else:
            if "good_till_us" in terms:
                terms["good_till"] = to_datetime(terms.pop("good_till_us"))
            number = self.order(terms.pop("quantity"), contract_id=terms.pop("contract"), **terms)
            self.kinds[number] = terms["kind"]


def _targets_last(script: Script) -> Script:
    """Signals are taken when the handler is done, so the plain matcher takes them last too."""
    return {row: sorted(deeds, key=lambda each: each[0] == "target") for row, deeds in script.items()}


def _options(chance: random.Random) -> BacktestOptions:
    return BacktestOptions(
        quantity=100,
        lot=chance.choice((1.0, 10.0)),
        fill=chance.choice(("next_open", "next_open", "same_close", "worst_of_bar", "volume_participation")),
        limit_fill=chance.choice(("through", "touch", "queue")),
        both_reached=chance.choice(("stop_first", "target_first", "nearest_first")),
        participation=chance.choice((0.05, 0.1, 0.25)),
        queue_share=chance.choice((0.5, 2.0)),
        latency_bars=chance.choice((0, 0, 1, 2)),
        commission=chance.choice(("none", "bps", "per_share")),
        commission_rate=chance.choice((0.0, 0.003, 7.0)),
        slippage=chance.choice(("none", "bps", "fixed", "half_spread", "volume_share")),
        slippage_rate=chance.choice((0.0, 0.01, 3.0)),
    )


def _compare(seed: int, contracts: tuple[int, ...]) -> int:
    chance = random.Random(seed)
    columns = _market(chance, contracts)
    script, options = _targets_last(_script(chance, columns)), _options(chance)

    result = run(columns, type("Scripted", (Scripted,), {"script": script}), options=options)
    fills, equity = Plain(columns, options, script).run()

    got = [(each.row, each.contract_id, each.quantity, each.price, each.commission) for each in result.executions]
    assert got == fills
    assert result.curve.equity.tolist() == equity
    return len(fills)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_one_contract_filled_twice_is_filled_the_same(seed: int) -> None:
    _compare(seed, (APPLE,))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_two_contracts_with_bars_of_different_length_too(seed: int) -> None:
    _compare(seed, (IBM, APPLE))


def test_the_scripts_do_trade() -> None:
    assert sum(_compare(seed, (APPLE,)) for seed in range(40)) > 500


@pytest.mark.parametrize("seed", range(3))
def test_without_orders_the_curve_is_flat(seed: int) -> None:
    columns = _market(random.Random(seed), (APPLE,))

    assert np.ptp(run(columns, BaseStrategy).curve.equity) == 0
