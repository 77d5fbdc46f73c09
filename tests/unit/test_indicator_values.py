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

CHANGES = [0.0] + [C[i] - C[i - 1] for i in ROWS[1:]]
RISES, FALLS = ([max(way * each, 0.0) for each in CHANGES] for way in (1, -1))
MIDDLES = [(H[i] + L[i]) / 2 for i in ROWS]
AWESOME = less(mean(MIDDLES, 5), mean(MIDDLES, 34))
REACH = wilder([NAN] * 10 + true_range()[10:], 10)  # the range of a channel begins with the channel
LINE = [NAN] * 25 + less(FIRST_FAST, ema(C, 26))[25:]


def sums(values: Series, size: int) -> Series:
    return [NAN if i < size - 1 else sum(last(values, i, size)) for i in ROWS]


def pressure(size: int) -> Series:
    """Of buyers, over the true range."""
    bought = [0.0] + [C[i] - min(L[i], C[i - 1]) for i in ROWS[1:]]
    return [NAN if i < size else sum(last(bought, i, size)) / sum(last(true_range(), i, size)) for i in ROWS]


def movement(up: bool, size: int) -> Series:
    moves = [0.0] + [abs(H[i] - L[i - 1]) if up else abs(L[i] - H[i - 1]) for i in ROWS[1:]]
    return [NAN if i < size else sum(last(moves, i, size)) / sum(last(true_range(), i, size)) for i in ROWS]


def ashi() -> dict[str, Series]:
    closes = [(OPEN[i] + H[i] + L[i] + C[i]) / 4 for i in ROWS]
    opens = [(OPEN[0] + C[0]) / 2]
    for i in ROWS[1:]:
        opens.append((opens[-1] + closes[i - 1]) / 2)
    highs = [max(H[i], opens[i], closes[i]) for i in ROWS]
    return {"open": opens, "high": highs, "low": [min(L[i], opens[i], closes[i]) for i in ROWS], "close": closes}


def on_volume(rising: bool) -> Series:
    found = [1000.0]
    for i in ROWS[1:]:
        counts = V[i] > V[i - 1] if rising else V[i] < V[i - 1]
        found.append(found[-1] * (C[i] / C[i - 1] if counts else 1.0))
    return found


def trend() -> Series:
    total = [0.0]
    for i in ROWS[1:]:
        total.append(total[-1] + V[i] * (C[i] / C[i - 1] - 1))
    return total


def slope_of(second: Series, first: Series, size: int) -> Series:
    """Least squares of relative changes."""
    one, other = ([0.0] + [each[i] / each[i - 1] - 1 for i in ROWS[1:]] for each in (first, second))
    return [NAN if i < size else statistics.linear_regression(last(one, i, size), last(other, i, size)).slope
            for i in ROWS]  # fmt: skip


def curbed(way: float) -> Series:
    """Headley's bands."""
    bands = [each * (1 + way * 4 * (H[i] - L[i]) / (H[i] + L[i])) for i, each in enumerate(H if way > 0 else L)]
    return mean(bands, 20)


def sums_of_ratio() -> Series:
    ranges = [H[i] - L[i] for i in ROWS]
    once = ema(ranges, 9)
    ratio = combined(once, ema(once, 9), lambda a, b: a / b)
    return [NAN if math.isnan(ratio[max(i - 24, 0)]) else sum(last(ratio, i, 25)) for i in ROWS]


def place_of_strength() -> Series:
    up, down = wilder([*RISES[1:], 0.0], 14), wilder([*FALLS[1:], 0.0], 14)
    strength = [NAN, *combined(up, down, lambda a, b: 100 * a / (a + b))[: BARS - 1]]
    found = [NAN] * 29
    for i in ROWS[29:]:
        window = last(strength, i, 14)
        found.append(100 * (strength[i] - min(window)) / (max(window) - min(window)))
    return found


MORE: dict[str, Series] = {
    "cmo": [NAN] * 14
    + combined(
        wilder([*RISES[1:], 0.0], 14), wilder([*FALLS[1:], 0.0], 14), lambda up, down: 100 * (up - down) / (up + down)
    )[13 : BARS - 1],
    "apo": less(ema(C, 12), ema(C, 26)),
    "ppo": combined(less(ema(C, 12), ema(C, 26)), ema(C, 26), lambda a, b: 100 * a / b),
    "macd.signal": ema(LINE, 9),
    "macd.histogram": less(LINE, ema(LINE, 9)),
    "coppock": weighted(
        combined(
            combined(C, moved(C, 11), lambda a, b: 100 * (a / b - 1)),
            combined(C, moved(C, 14), lambda a, b: 100 * (a / b - 1)),
            lambda a, b: a + b,
        ),
        10,
    ),
    "dpo": less(moved(C, 11), mean(C, 20)),
    "vertical_horizontal": [NAN] * 28
    + [
        (max(last(C, i, 28)) - min(last(C, i, 28))) / sum(abs(each) for each in last(CHANGES, i, 28)) for i in ROWS[28:]
    ],
    "elder_ray.bull": less(H, ema(C, 13)),
    "elder_ray.bear": less(L, ema(C, 13)),
    "ultimate": combined(
        combined(pressure(7), pressure(14), lambda a, b: 4 * a + 2 * b), pressure(28), lambda a, b: 100 * (a + b) / 7
    ),
    "intraday_momentum": combined(
        sums([max(C[i] - OPEN[i], 0) for i in ROWS], 14),
        sums([abs(C[i] - OPEN[i]) for i in ROWS], 14),
        lambda a, b: 100 * a / b,
    ),
    "qstick": mean([C[i] - OPEN[i] for i in ROWS], 10),
    "accelerator": less(AWESOME, mean(AWESOME, 5)),
    "adxr": combined(wilder(index(14), 14), moved(wilder(index(14), 14), 13), lambda a, b: (a + b) / 2),
    "vortex.plus": movement(True, 14),
    "vortex.minus": movement(False, 14),
    "keltner.middle": ema(TYPICAL, 20),
    "keltner.upper": combined(ema(TYPICAL, 20), REACH, lambda a, b: a + 2 * b),
    "keltner.lower": combined(ema(TYPICAL, 20), REACH, lambda a, b: a - 2 * b),
    "acceleration_bands.upper": curbed(1.0),
    "acceleration_bands.lower": curbed(-1.0),
    "acceleration_bands.middle": mean(C, 20),
    **{f"heikin_ashi.{name}": values for name, values in ashi().items()},
    "force": [NAN, *ema([CHANGES[i] * V[i] for i in ROWS[1:]] + [0.0], 13)[: BARS - 1]],
    "market_facilitation": [(H[i] - L[i]) / V[i] for i in ROWS],
    "negative_volume": on_volume(False),
    "positive_volume": on_volume(True),
    "price_volume": trend(),
    "percentile": windowed(30, lambda i: sorted(last(C, i, 30))[14]),
    "percent_rank": [NAN] * 100 + [sum(each < C[i] for each in C[i - 100 : i]) for i in ROWS[100:]],
    "beta": slope_of(OPEN, C, 5),
    "crossing": [NAN]
    + [
        float((C[i - 1] <= OPEN[i - 1]) and C[i] > OPEN[i]) - float((C[i - 1] >= OPEN[i - 1]) and C[i] < OPEN[i])
        for i in ROWS[1:]
    ],
    "volume_oscillator": combined(less(ema(V, 12), ema(V, 26)), ema(V, 26), lambda a, b: 100 * a / b),
    "mass_index": sums_of_ratio(),
    "chaikin_volatility": combined(
        ema([H[i] - L[i] for i in ROWS], 10),
        moved(ema([H[i] - L[i] for i in ROWS], 10), 10),
        lambda a, b: 100 * (a / b - 1),
    ),
    "stochastic_rsi.k": place_of_strength(),
}

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


EXPECTED |= MORE


@pytest.mark.parametrize("name", EXPECTED)
def test_values_are_those_of_the_definition(name: str) -> None:
    indicator = catalogue()[name]

    column = indicator(*(np.array(SOURCES[each]) for each in indicator.takes))

    np.testing.assert_allclose(column, EXPECTED[name], rtol=1e-9, atol=1e-9)
