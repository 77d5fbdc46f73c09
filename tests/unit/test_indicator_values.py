"""Indicators against their definitions, written out in plain Python on real prices, slowly and without libraries."""

import math
import statistics
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from engine.indicators import catalogue
from tests.bars import real_daily

BARS = 260
_apple = real_daily("AAPL")
_COLUMNS: dict[str, list[float]] = {
    name: getattr(_apple, name)[:BARS].tolist() for name in ("open", "high", "low", "close", "volume")
}
OPEN, H, L, C, V = _COLUMNS.values()
ROWS = range(BARS)
TYPICAL = [(H[i] + L[i] + C[i]) / 3 for i in ROWS]
SOURCES = {"open": OPEN, "high": H, "low": L, "close": C, "volume": V, "values": C, "first": C, "second": OPEN}

Series = list[float]
NAN = math.nan


def last(values: Sequence[float], row: int, size: int) -> Sequence[float]:
    return values[row - size + 1 : row + 1]


def windowed(size: int, of: Callable[[int], float]) -> Series:
    """`of` row after row, from the first with `size` values on."""
    return [NAN if i < size - 1 else of(i) for i in ROWS]


def mean(values: Series, size: int) -> Series:
    return [NAN if i < size - 1 or any(map(math.isnan, last(values, i, size))) else sum(last(values, i, size)) / size
            for i in ROWS]  # fmt: skip


def smoothed(values: Series, size: int, weight: float) -> Series:
    """Seeded with the mean of the first `size` values there are."""
    first = next(i for i in ROWS if not math.isnan(values[i])) + size - 1
    found = [NAN] * first + [sum(last(values, first, size)) / size]
    for i in range(first + 1, BARS):
        found.append(found[-1] + weight * (values[i] - found[-1]))
    return found


def ema(values: Series, size: int) -> Series:
    return smoothed(values, size, 2 / (size + 1))


def wilder(values: Series, size: int) -> Series:
    return smoothed(values, size, 1 / size)


def combined(one: Series, other: Series, how: Callable[[float, float], float]) -> Series:
    return [NAN if math.isnan(a) or math.isnan(b) else how(a, b) for a, b in zip(one, other, strict=True)]


def less(one: Series, other: Series) -> Series:
    return combined(one, other, lambda a, b: a - b)


def moved(values: Series, bars: int) -> Series:
    return [NAN] * bars + values[: BARS - bars]


def weighted(values: Series, size: int) -> Series:
    def of(i: int) -> float:
        return sum((n + 1.0) * each for n, each in enumerate(last(values, i, size))) / (size * (size + 1) / 2)

    return [NAN if i < size - 1 or math.isnan(values[i - size + 1]) else of(i) for i in ROWS]


def true_range() -> Series:
    return [NAN] + [max(H[i] - L[i], abs(H[i] - C[i - 1]), abs(L[i] - C[i - 1])) for i in ROWS[1:]]


def middle(size: int) -> Series:
    return windowed(size, lambda i: (max(last(H, i, size)) + min(last(L, i, size))) / 2)


def place(size: int) -> Series:
    """Of the close in the range, 0 to 100."""

    def of(i: int) -> float:
        low, high = min(last(L, i, size)), max(last(H, i, size))
        return 100 * (C[i] - low) / (high - low)

    return windowed(size, of)


def deviation(size: int) -> Series:
    return windowed(size, lambda i: statistics.pstdev(last(C, i, size)))


def slope(i: int, size: int) -> tuple[float, float]:
    """Least squares through the window: slope, and value at its beginning."""
    line = statistics.linear_regression(range(size), last(C, i, size))
    return line.slope, line.intercept


def directional(size: int) -> tuple[Series, Series]:
    """+DI and -DI by Wilder's sums: the first of size - 1 moves, each later one loses a share before it gains."""
    ups = [0.0] + [max(H[i] - H[i - 1], 0) if H[i] - H[i - 1] > L[i - 1] - L[i] else 0.0 for i in ROWS[1:]]
    downs = [0.0] + [max(L[i - 1] - L[i], 0) if L[i - 1] - L[i] > H[i] - H[i - 1] else 0.0 for i in ROWS[1:]]
    ranges = true_range()
    found: tuple[Series, Series] = ([NAN] * size, [NAN] * size)
    sums = [sum(each[1:size]) for each in (ups, downs, ranges)]
    for i in range(size, BARS):
        sums = [each - each / size + values[i] for each, values in zip(sums, (ups, downs, ranges), strict=True)]
        found[0].append(100 * sums[0] / sums[2])
        found[1].append(100 * sums[1] / sums[2])
    return found


def index(size: int) -> Series:
    return combined(*directional(size), lambda up, down: 100 * abs(up - down) / (up + down))


def since(highs: bool, size: int) -> Series:
    """Aroon: 100 less the share of the window since its extreme, the latest of equals."""

    def of(i: int) -> float:
        window = last(H if highs else L, i, size + 1)
        best = max(window) if highs else min(window)
        return 100 * max(n for n, each in enumerate(window) if each == best) / size

    return windowed(size + 1, of)


def money_flow_index(size: int) -> Series:
    def of(i: int) -> float:
        rows = range(i - size + 1, i + 1)
        up = sum(TYPICAL[k] * V[k] for k in rows if TYPICAL[k] > TYPICAL[k - 1])
        down = sum(TYPICAL[k] * V[k] for k in rows if TYPICAL[k] < TYPICAL[k - 1])
        return 100 * up / (up + down)

    return windowed(size + 1, of)


def balance() -> Series:
    total = [V[0]]
    for i in ROWS[1:]:
        total.append(total[-1] + V[i] * ((C[i] > C[i - 1]) - (C[i] < C[i - 1])))
    return total


def accumulated() -> Series:
    flows = [((C[i] - L[i]) - (H[i] - C[i])) / (H[i] - L[i]) * V[i] for i in ROWS]
    return [sum(flows[: i + 1]) for i in ROWS]


def channel_index(size: int) -> Series:
    def of(i: int) -> float:
        window = last(TYPICAL, i, size)
        centre = sum(window) / size
        return (TYPICAL[i] - centre) / (0.015 * sum(abs(each - centre) for each in window) / size)

    return windowed(size, of)


def kaufman(size: int) -> Series:
    found = [NAN] * size
    before = C[size - 1]
    for i in range(size, BARS):
        way = sum(abs(C[k] - C[k - 1]) for k in range(i - size + 1, i + 1))
        ratio = abs(C[i] - C[i - size]) / way
        before += (ratio * (2 / 3 - 2 / 31) + 2 / 31) ** 2 * (C[i] - before)
        found.append(before)
    return found


FIRST_FAST = [NAN] * 25 + ema(C[14:] + [0.0] * 14, 12)[11 : BARS - 14]  # TA-Lib starts the fast average with the slow
UP, DOWN = directional(14)
FASTK = place(14)
K = mean(FASTK, 3)
RANGES = wilder(true_range(), 14)

EXPECTED: dict[str, Series] = {
    "sma": mean(C, 20),
    "ema": ema(C, 20),
    "rma": wilder(C, 14),
    "wma": weighted(C, 20),
    "dema": combined(ema(C, 20), ema(ema(C, 20), 20), lambda a, b: 2 * a - b),
    "tema": combined(
        combined(ema(C, 20), ema(ema(C, 20), 20), lambda a, b: 3 * a - 3 * b),
        ema(ema(ema(C, 20), 20), 20),
        lambda a, b: a + b,
    ),
    "hma": weighted(combined(weighted(C, 10), weighted(C, 20), lambda a, b: 2 * a - b), 4),
    "kama": kaufman(30),
    "trima": mean(mean(C, 10), 11),
    "midpoint": windowed(14, lambda i: (max(last(C, i, 14)) + min(last(C, i, 14))) / 2),
    "momentum": less(C, moved(C, 10)),
    "roc": combined(C, moved(C, 10), lambda a, b: 100 * (a / b - 1)),
    "trix": combined(
        ema(ema(ema(C, 15), 15), 15), moved(ema(ema(ema(C, 15), 15), 15), 1), lambda a, b: 100 * (a / b - 1)
    ),
    "efficiency_ratio": windowed(
        11, lambda i: abs(C[i] - C[i - 10]) / sum(abs(C[k] - C[k - 1]) for k in range(i - 9, i + 1))
    ),
    "stochastic.k": [NAN] * 17 + K[17:],  # told from where its average is
    "stochastic.d": mean(K, 3),
    "williams_r": combined(place(14), place(14), lambda a, _: a - 100),
    "cci": channel_index(20),
    "balance_of_power": [(C[i] - OPEN[i]) / (H[i] - L[i]) for i in ROWS],
    "true_range": true_range(),
    "atr": RANGES,
    "natr": combined(RANGES, C, lambda a, b: 100 * a / b),
    "average_range": mean([H[i] - L[i] for i in ROWS], 14),
    "plus_di": UP,
    "minus_di": DOWN,
    "dx": index(14),
    "adx": wilder(index(14), 14),
    "aroon.up": since(True, 14),
    "aroon.down": since(False, 14),
    "aroon_oscillator": less(since(True, 14), since(False, 14)),
    "deviation": deviation(20),
    "variance": combined(deviation(20), deviation(20), lambda a, b: a * b),
    "mean_deviation": windowed(14, lambda i: sum(abs(each - sum(last(C, i, 14)) / 14) for each in last(C, i, 14)) / 14),
    "zscore": combined(less(C, mean(C, 20)), deviation(20), lambda a, b: a / b),
    "bollinger.upper": combined(mean(C, 20), deviation(20), lambda a, b: a + 2 * b),
    "bollinger.middle": mean(C, 20),
    "bollinger.lower": combined(mean(C, 20), deviation(20), lambda a, b: a - 2 * b),
    "bollinger.width": combined(deviation(20), mean(C, 20), lambda a, b: 4 * a / b),
    "bollinger.percent": combined(
        less(C, combined(mean(C, 20), deviation(20), lambda a, b: a - 2 * b)), deviation(20), lambda a, b: a / (4 * b)
    ),
    "donchian.upper": windowed(20, lambda i: max(last(H, i, 20))),
    "donchian.middle": middle(20),
    "donchian.lower": windowed(20, lambda i: min(last(L, i, 20))),
    "midprice": middle(14),
    "highest": windowed(20, lambda i: max(last(C, i, 20))),
    "lowest": windowed(20, lambda i: min(last(C, i, 20))),
    "ichimoku.conversion": middle(9),
    "ichimoku.base": middle(26),
    "ichimoku.span_a": moved(combined(middle(9), middle(26), lambda a, b: (a + b) / 2), 26),
    "ichimoku.span_b": moved(middle(52), 26),
    "obv": balance(),
    "accumulation": accumulated(),
    "mfi": money_flow_index(14),
    "money_flow": windowed(
        20,
        lambda i: (
            sum(((C[k] - L[k]) - (H[k] - C[k])) / (H[k] - L[k]) * V[k] for k in range(i - 19, i + 1))
            / sum(last(V, i, 20))
        ),
    ),
    "vwap": windowed(20, lambda i: sum(TYPICAL[k] * V[k] for k in range(i - 19, i + 1)) / sum(last(V, i, 20))),
    "vwma": windowed(20, lambda i: sum(C[k] * V[k] for k in range(i - 19, i + 1)) / sum(last(V, i, 20))),
    "anchored_vwap": [sum(TYPICAL[k] * V[k] for k in range(i + 1)) / sum(V[: i + 1]) for i in ROWS],
    "relative_volume": combined(V, mean(V, 20), lambda a, b: a / b),
    "linear_slope": windowed(14, lambda i: slope(i, 14)[0]),
    "linear_intercept": windowed(14, lambda i: slope(i, 14)[1]),
    "linear_regression": windowed(14, lambda i: slope(i, 14)[1] + 13 * slope(i, 14)[0]),
    "linear_forecast": windowed(14, lambda i: slope(i, 14)[1] + 14 * slope(i, 14)[0]),
    "linear_angle": windowed(14, lambda i: math.degrees(math.atan(slope(i, 14)[0]))),
    "correlation": windowed(30, lambda i: statistics.correlation(last(C, i, 30), last(OPEN, i, 30))),
    "average_price": [(OPEN[i] + H[i] + L[i] + C[i]) / 4 for i in ROWS],
    "median_price": [(H[i] + L[i]) / 2 for i in ROWS],
    "typical_price": TYPICAL,
    "weighted_close": [(H[i] + L[i] + 2 * C[i]) / 4 for i in ROWS],
    "awesome": less(mean([(H[i] + L[i]) / 2 for i in ROWS], 5), mean([(H[i] + L[i]) / 2 for i in ROWS], 34)),
    "macd.line": [NAN] * 33 + less(FIRST_FAST, ema(C, 26))[33:],
    "lag": moved(C, 1),
    "side": [float((C[i] > OPEN[i]) - (C[i] < OPEN[i])) for i in ROWS],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_values_are_those_of_the_definition(name: str) -> None:
    indicator = catalogue()[name]

    column = indicator(*(np.array(SOURCES[each]) for each in indicator.takes))

    np.testing.assert_allclose(column, EXPECTED[name], rtol=1e-9, atol=1e-9)
