"""Every indicator of the catalogue keeps what it promises: one value in both forms, its warm-up, its bounds."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import Floats
from engine.indicators import Indicator, IndicatorError, catalogue
from tests.bars import real_daily

ALL = list(catalogue().values())
RECURRING = [each for each in ALL if not each.anchored]
PRICES = ("open", "high", "low", "close")
EXACT = 1e-9

Market = dict[str, Floats]


def _market(closes: Floats, seed: int, spread: float = 0.004) -> Market:
    """Bars whose ranges hold open and close; `values`, `first` and `second` are what indicators of any series take."""
    random = np.random.default_rng(seed)
    opens = np.concatenate((closes[:1], closes[:-1])) * (1 + random.normal(0, spread / 3, len(closes)))
    highs = np.maximum(opens, closes) * (1 + np.abs(random.normal(0, spread, len(closes))))
    lows = np.minimum(opens, closes) * (1 - np.abs(random.normal(0, spread, len(closes))))
    volumes = random.integers(100, 10_000, len(closes)).astype(float)
    return _named(opens, highs, lows, closes, volumes)


def _named(opens: Floats, highs: Floats, lows: Floats, closes: Floats, volumes: Floats) -> Market:
    series = {"open": opens, "high": highs, "low": lows, "close": closes, "volume": volumes}
    return {**series, "values": closes, "first": closes, "second": opens}


def _walk(seed: int, bars: int = 700) -> Floats:
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.012, bars)))


def _halted(seed: int) -> Market:
    """Nothing trades for 150 bars, and nothing moves."""
    market = _market(_walk(seed), seed)
    for name in ("open", "high", "low", "close", "values", "first", "second"):
        market[name][300:450] = market["close"][299]
    market["volume"][300:450] = 0.0
    return market


def _gappy(seed: int) -> Market:
    closes = _walk(seed)
    closes[200:320] *= 8.0
    closes[500:] /= 5.0
    return _market(closes, seed)


def _flat(bars: int = 700) -> Market:
    still = np.full(bars, 12.34)
    return _named(still, still, still, still, np.zeros(bars))


def _real() -> Market:
    columns = real_daily("AAPL")
    return _named(*(np.array(getattr(columns, name)) for name in (*PRICES, "volume")))


MARKETS = {
    "a walk": _market(_walk(1), 1),
    "a trend": _market(10 + 0.5 * np.arange(700.0), 2),
    "a fall": _market(400 - 0.5 * np.arange(700.0), 3),
    "gaps": _gappy(4),
    "a halt": _halted(5),
    "flat, without volume": _flat(),
    "Apple": _real(),
}


def _inputs(indicator: Indicator, market: Market) -> list[Floats]:
    return [market[name] for name in indicator.takes]


def _live(indicator: Indicator, inputs: list[Floats], *parameters: float) -> Floats:
    twin = indicator.live(*parameters)
    rows = zip(*(each.tolist() for each in inputs), strict=True)
    return np.fromiter((twin.update(*row) for row in rows), dtype=np.float64, count=len(inputs[0]))


def _least(indicator: Indicator) -> list[float]:
    return [each.least if each.whole else each.default for each in indicator.parameters]


def _named_by(each: Indicator) -> str:
    return each.name


@pytest.mark.parametrize("indicator", ALL, ids=_named_by)
def test_bar_after_bar_gives_the_column_and_the_first_value_when_promised(indicator: Indicator) -> None:
    for market, series in MARKETS.items():
        inputs = _inputs(indicator, series)

        column = indicator(*inputs)

        known = np.isfinite(column)
        assert known.tolist() == [row >= indicator.ready() - 1 for row in range(len(column))], market
        np.testing.assert_allclose(_live(indicator, inputs), column, rtol=EXACT, atol=0, err_msg=market)


@pytest.mark.parametrize("indicator", ALL, ids=_named_by)
def test_the_smallest_parameters_work_and_smaller_ones_are_refused(indicator: Indicator) -> None:
    inputs = [each[:60] for each in _inputs(indicator, MARKETS["a walk"])]
    least = _least(indicator)

    column = indicator(*inputs, *least)

    assert np.isfinite(column).tolist() == [row >= indicator.ready(*least) - 1 for row in range(60)]
    np.testing.assert_array_equal(_live(indicator, inputs, *least), column)
    for place, parameter in enumerate(indicator.parameters):
        for wrong in (parameter.least - 1, parameter.most + 1, "many", float("nan")):
            with pytest.raises(IndicatorError, match=rf"{indicator.name}: {parameter.name} must be"):
                indicator(*inputs, *least[:place], wrong)
    with pytest.raises(IndicatorError, match="parameters"):
        indicator.live(*least, 1)


def _cuts(length: int, settled: int) -> Iterator[int]:
    """Where to look back from; what settles later than the series is long is looked at from its end alone."""
    latest = list(range(length, settled, -max(1, (length - settled) // 8)))[:8]
    return iter(latest or [length])


@pytest.mark.parametrize("indicator", RECURRING, ids=_named_by)
def test_settled_is_when_the_beginning_is_forgotten(indicator: Indicator) -> None:
    for market in (name for name in MARKETS if name != "a halt"):  # bars that move are counted
        inputs = _inputs(indicator, MARKETS[market])
        whole, settled = indicator(*inputs), indicator.settled()
        scale = float(np.nanmax(np.abs(whole)))
        for end in _cuts(len(whole), settled):
            cut = indicator(*(each[max(0, end - settled) : end] for each in inputs))[-1]
            assert abs(cut - whole[end - 1]) <= EXACT * scale, (market, end)


@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(2, 40), min_size=4, max_size=4),
    which=st.sampled_from(ALL),
    leading=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_any_parameters_give_the_same_bits_in_both_forms(
    seed: int, sizes: list[int], which: Indicator, leading: int
) -> None:
    parameters = [size if each.whole else each.default for size, each in zip(sizes, which.parameters, strict=False)]
    market = _market(np.round(_walk(seed, 220), 2), seed)
    inputs = [each.copy() for each in _inputs(which, market)]
    inputs[0][:leading] = np.nan  # an input that is an indicator itself has no value at first

    column = which(*inputs, *parameters)

    first = min(which.ready(*parameters) - 1 + leading, 220)
    assert np.isnan(column[:first]).all()
    assert np.isfinite(column[first:]).all()
    np.testing.assert_array_equal(_live(which, inputs, *parameters), column)


@pytest.mark.parametrize("indicator", ALL, ids=_named_by)
def test_series_one_after_another_are_computed_each_for_itself(indicator: Indicator) -> None:
    inputs = [each[:260].copy() for each in _inputs(indicator, MARKETS["a walk"])]
    inputs[0][91:97] = np.nan  # the third series begins with an input that has no value yet
    edges = np.array([0, 90, 91, 215, 260])

    together = indicator.in_segments(inputs, edges)

    apart = [indicator(*(each[first:stop] for each in inputs)) for first, stop in pairwise(edges.tolist())]
    np.testing.assert_array_equal(together, np.concatenate(apart))


@pytest.mark.parametrize("indicator", ALL, ids=_named_by)
def test_short_series_have_no_value_and_a_hole_is_told_with_its_row(indicator: Indicator) -> None:
    inputs = _inputs(indicator, MARKETS["a walk"])
    short = [each[: indicator.ready() - 1] for each in inputs]
    holed = [each[:50].copy() for each in inputs]
    holed[-1][20] = np.nan

    assert np.isnan(indicator(*short)).all()
    assert len(indicator(*(each[:0] for each in inputs))) == 0
    with pytest.raises(IndicatorError, match=f"{indicator.name}: an input has no finite value 20 bars"):
        indicator(*holed)
    with pytest.raises(IndicatorError, match=f"{indicator.name}: an input has no finite value 20 bars"):
        _live(indicator, holed)
    with pytest.raises(IndicatorError, match="takes" if len(inputs) > 1 else "columns of one length"):
        indicator(*inputs[:-1], *([] if len(inputs) > 1 else [5.0]))


def test_there_are_more_than_sixty_each_described() -> None:
    assert len(ALL) > 60
    assert all(each.says and each.takes for each in ALL)
    assert len({each.says for each in ALL}) > 100


_IN_A_PROCESS = """
import sys
import numpy as np
import engine.host, engine.backtest, engine.registry
from engine.indicators import crossing, ema, sma, zscore
from engine.strategy import BaseStrategy
loaded = lambda: [name for name in ("talib", "pandas", "polars") if name in sys.modules]
BaseStrategy().declare(sma, "close", 5)
sma(np.arange(9.0), 3), zscore(np.arange(9.0), 3), crossing(np.arange(9.0), 4.0)
sma.live(3).update(1.0)
assert loaded() == [], loaded()
engine.registry.strategy_class("moving_average_crossover")()
assert loaded() == [], loaded()
ema(np.arange(9.0), 3)
assert loaded() == ["talib"], loaded()
import polars
assert polars.Series([1]).sum() == 1
"""


_SERVICES = """
import sys
import consumers.strategist.strategist, consumers.backtester.backtester, consumers.api.application
assert "talib" not in sys.modules
"""


def test_services_that_use_none_of_it_do_not_load_ta_lib() -> None:
    subprocess.run([sys.executable, "-c", _SERVICES], check=True, timeout=60)


def test_ta_lib_is_loaded_by_who_uses_it_and_draws_nothing_in() -> None:
    subprocess.run([sys.executable, "-c", _IN_A_PROCESS], check=True, timeout=60)
