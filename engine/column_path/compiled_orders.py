"""The compiled exchange of the column path: `engine.exchange` again, for one entry and its protection a contract.

A contract's orders are four rows of a small table, in the order of their placing: what leaves a position, what enters
one, and the entry's two children, of which either takes its size off the other.
"""

from typing import Any

import numpy as np
from numba import types

from engine.column_path.compiled import _ALMOST, _F, _I, _tuple, _uniform, jit

MARKET, LIMIT, STOP, TRAIL = 0.0, 1.0, 2.0, 3.0
STOP_FIRST, TARGET_FIRST, NEAREST_FIRST = 0.0, 1.0, 2.0
FILL_COLUMNS = 7
"""Row, quantity, price, slippage, whether inside the bar; the order's shares and value before it."""

_LEAVES, _ENTERS, _STOPS, _TAKES, _SLOTS = 0, 1, 2, 3, 4
_QUANTITY, _KIND, _LIMIT, _LEVEL, _TRAIL, _FILLED, _VALUE, _ALIVE, _BEGUN, _TRIGGERED, _LATE = range(11)
_ROW, _VOLUME, _ROOM, _INSIDE, _COUNT, _HELD = range(6)
_NOTHING, _SLIPS, _RESTS = 0, 1, 2
_SLACK = 1e-12
_MOST_FILLS = 2 * _SLOTS  # in a bar

_TABLE = types.float64[:, ::1]
_STATE = types.float64[::1]
_RULES = _uniform(types.float64, 9)


@jit(types.void(_TABLE, types.int64, types.float64, types.float64))
def _follow(book: Any, slot: int, price: float, side: float) -> None:
    level = price + side * book[slot, _TRAIL]
    if book[slot, _BEGUN] == 0 or side * level < side * book[slot, _LEVEL]:
        book[slot, _LEVEL] = level
    book[slot, _BEGUN] = 1


@jit(types.boolean(types.float64, types.float64, types.float64, types.float64))
def _reaches(side: float, price: float, limit: float, touch: float) -> bool:
    return side * price < side * limit or (touch != 0 and price == limit)


@jit(types.int64(_TABLE, types.int64, types.float64, types.float64))
def _at_price(book: Any, slot: int, price: float, touch: float) -> int:
    """`engine.exchange.matching.at_price`."""
    kind, side = book[slot, _KIND], 1.0 if book[slot, _QUANTITY] > 0 else -1.0
    if kind == MARKET:
        return _SLIPS
    if kind == LIMIT:
        return _RESTS if _reaches(side, price, book[slot, _LIMIT], touch) else _NOTHING
    if book[slot, _TRIGGERED] == 0:
        if kind == TRAIL:
            _follow(book, slot, price, side)
        if side * price >= side * book[slot, _LEVEL]:
            book[slot, _TRIGGERED] = 1
    return _SLIPS if book[slot, _TRIGGERED] != 0 else _NOTHING


@jit(_tuple((types.int64, types.float64))(_TABLE, types.int64, _uniform(types.float64, 3), types.float64))
def _in_range(book: Any, slot: int, seen: Any, touch: float) -> Any:
    """`engine.exchange.matching.in_range`: what is met, and its price. `seen` are high, low and close."""
    high, low, close = seen
    kind, side = book[slot, _KIND], 1.0 if book[slot, _QUANTITY] > 0 else -1.0
    worst = high if side > 0 else low
    best = low if side > 0 else high
    if not np.isnan(book[slot, _LATE]):
        best = close
    if kind == LIMIT:
        limit = book[slot, _LIMIT]
        return (_RESTS if _reaches(side, best, limit, touch) else _NOTHING), limit
    if book[slot, _TRIGGERED] != 0 or kind == MARKET:
        return _NOTHING, 0.0
    reached = side * worst >= side * book[slot, _LEVEL]
    if not reached and kind == TRAIL:
        _follow(book, slot, best, side)
        reached = side * close >= side * book[slot, _LEVEL]
    if not reached:
        return _NOTHING, 0.0
    book[slot, _TRIGGERED] = 1
    return _SLIPS, book[slot, _LEVEL]


@jit(types.float64(_TABLE, types.int64))
def _left(book: Any, slot: int) -> Any:
    """`Order.left`."""
    size = abs(book[slot, _QUANTITY])
    return (min(size, book[_ENTERS, _FILLED]) if slot >= _STOPS else size) - book[slot, _FILLED]


@jit(types.void(_TABLE, types.int64, types.float64, types.float64, _STATE))
def _book_fill(book: Any, slot: int, size: float, paid: float, bar: Any) -> None:
    """`Exchange._book`: the order, its children, and the other one of its pair."""
    book[slot, _FILLED] += size
    book[slot, _VALUE] += size * abs(paid)
    if book[slot, _FILLED] >= abs(book[slot, _QUANTITY]):
        book[slot, _ALIVE] = 0
    if slot == _ENTERS and bar[_INSIDE] != 0:
        for child in (_STOPS, _TAKES):
            if book[child, _BEGUN] == 0:
                book[child, _LATE] = paid
    if slot >= _STOPS:
        other = _STOPS + _TAKES - slot
        if abs(book[other, _QUANTITY]) > size:
            book[other, _QUANTITY] += -size if book[other, _QUANTITY] > 0 else size
        else:
            book[other, _ALIVE] = 0


@jit(types.void(_TABLE, types.int64, types.int64, types.float64, _STATE, _RULES, _TABLE))
def _trade(book: Any, slot: int, offer: int, price: float, bar: Any, rules: Any, into: Any) -> None:
    """`Exchange._trade` and `_book`: as much as the bar has room and the order means for."""
    by_price, fixed, impact = rules[6], rules[7], rules[8]
    size = min(_left(book, slot), bar[_ROOM])
    if size <= 0:
        return
    buys, worse = book[slot, _QUANTITY] > 0, 0.0
    if offer == _SLIPS:
        worse = abs(price) * by_price + fixed
        if impact != 0:
            share = min(size / bar[_VOLUME], 1.0) if bar[_VOLUME] > 0 else 1.0
            worse = abs(price) * impact * (share * share)
    paid = price + worse if buys else price - worse
    fill = into[int(bar[_COUNT])]
    fill[0], fill[1], fill[2], fill[3] = bar[_ROW], size if buys else -size, paid, worse
    fill[4], fill[5], fill[6] = bar[_INSIDE], book[slot, _FILLED], book[slot, _VALUE]
    bar[_COUNT] += 1
    bar[_ROOM] -= size
    bar[_HELD] += size if buys else -size
    _book_fill(book, slot, size, paid, bar)


@jit(types.boolean(_TABLE, types.int64, _uniform(types.float64, 4), types.float64))
def _comes_later(book: Any, slot: int, prices: Any, both_reached: float) -> Any:
    """`Exchange._sequence`. `prices` are open, high, low and close."""
    opening, high, low, _ = prices
    kind = book[slot, _KIND]
    stops = kind == STOP or kind == TRAIL  # numba compares faster than it looks up
    if both_reached == NEAREST_FIRST:
        high_first = high - opening <= opening - low
        return ((book[slot, _QUANTITY] > 0) == stops) != high_first
    return stops == (both_reached == TARGET_FIRST)


@jit(types.void(_TABLE, _uniform(types.float64, 4), _STATE, _RULES, _TABLE))
def _match_open(book: Any, prices: Any, bar: Any, rules: Any, into: Any) -> None:
    """`Exchange.match_open`."""
    touch, markets_wait = rules[2], rules[4]
    bar[_INSIDE] = 0
    for slot in range(_SLOTS):
        if book[slot, _ALIVE] == 0 or (slot >= _STOPS and book[_ENTERS, _FILLED] == 0):
            continue
        if markets_wait == 0 or book[slot, _KIND] != MARKET:
            offer = _at_price(book, slot, prices[0], touch)
            if offer != _NOTHING:
                _trade(book, slot, offer, prices[0], bar, rules, into)
        book[slot, _BEGUN] = 1


@jit(types.void(_TABLE, _uniform(types.float64, 4), _STATE, _RULES, _TABLE))
def _meet_late(book: Any, prices: Any, bar: Any, rules: Any, into: Any) -> None:
    """`Exchange._meet_late`: children of what was entered inside the bar."""
    _, high, low, close = prices
    touch, both_reached = rules[2], rules[3]
    for turn in (False, True):
        for slot in (_STOPS, _TAKES):
            late = book[slot, _LATE]
            is_due = not np.isnan(late) and book[slot, _BEGUN] == 0 and book[slot, _ALIVE] != 0
            if not is_due or _comes_later(book, slot, prices, both_reached) != turn:
                continue
            offer = _at_price(book, slot, late, touch)
            price = late
            book[slot, _BEGUN] = 1
            if offer == _NOTHING:
                offer, price = _in_range(book, slot, (high, low, close), touch)
            if offer != _NOTHING:
                _trade(book, slot, offer, price, bar, rules, into)
    book[:, _LATE] = np.nan


@jit(types.void(_TABLE, _uniform(types.float64, 4), _STATE, _RULES, _TABLE))
def _match_rest(book: Any, prices: Any, bar: Any, rules: Any, into: Any) -> None:
    """`Exchange.match_rest`."""
    _, high, low, close = prices
    touch, both_reached, markets_wait = rules[2], rules[3], rules[4]
    seen = (high, low, close)
    bar[_INSIDE] = 1
    for turn in (False, True):
        for slot in range(_SLOTS):
            if (
                book[slot, _BEGUN] == 0
                or book[slot, _ALIVE] == 0
                or _comes_later(book, slot, prices, both_reached) != turn
            ):
                continue
            if book[slot, _KIND] == MARKET:
                if markets_wait != 0:
                    _trade(book, slot, _SLIPS, high if book[slot, _QUANTITY] > 0 else low, bar, rules, into)
                continue
            offer, price = _in_range(book, slot, seen, touch)
            if offer != _NOTHING:
                _trade(book, slot, offer, price, bar, rules, into)
    _meet_late(book, prices, bar, rules, into)


@jit(types.int64(_TABLE))
def _tidied(book: Any) -> int:
    """`Exchange._tidy`: how many orders work, once children with nothing left for them have ended."""
    alive = 0
    for slot in range(_SLOTS):
        if slot >= _STOPS and book[_ENTERS, _ALIVE] == 0 and _left(book, slot) <= 0:
            book[slot, _ALIVE] = 0
        alive += book[slot, _ALIVE] != 0
    return alive


@jit(_uniform(types.float64, 2)(_TABLE))
def _marks(book: Any) -> Any:
    """A bar whose low lies above the one and whose high lies below the other leaves all orders as they are."""
    low, high = -np.inf, np.inf
    for slot in range(_SLOTS):
        kind, level, trail = book[slot, _KIND], book[slot, _LEVEL], book[slot, _TRAIL]
        if book[slot, _ALIVE] == 0 or (slot >= _STOPS and book[_ENTERS, _FILLED] == 0):
            continue
        if book[slot, _BEGUN] == 0 or book[slot, _TRIGGERED] != 0 or kind == MARKET:
            return np.inf, -np.inf
        if (book[slot, _QUANTITY] > 0) == (kind == LIMIT):  # reached from above: bought at a limit, sold at a stop
            low = max(low, level)
            high = min(high, level + trail * (1 - _SLACK) - _SLACK * abs(level)) if kind == TRAIL else high
        else:
            high = min(high, level)
            low = max(low, level - trail * (1 - _SLACK) + _SLACK * abs(level)) if kind == TRAIL else low
    return low, high


@jit(types.void(_TABLE, types.int64, types.float64, types.float64, types.float64))
def _place(book: Any, slot: int, quantity: float, kind: float, price: float) -> None:
    book[slot] = 0.0
    book[slot, _LATE] = np.nan
    book[slot, _QUANTITY], book[slot, _KIND] = quantity, kind
    book[slot, _LIMIT] = book[slot, _LEVEL] = book[slot, _TRAIL] = price
    book[slot, _ALIVE] = 1


@jit(types.void(_TABLE, types.float64, types.float64, types.float64, _uniform(types.float64, 4)))
def _aim(book: Any, wanted: float, held: float, kind: float, levels: Any) -> None:
    """`BacktestDesk.aim`; `levels` are price, stop, target and trail, NaN for none."""
    price, stop, take_profit, trail = levels
    protected = not (np.isnan(stop) and np.isnan(take_profit) and np.isnan(trail))
    if protected and held * wanted > 0:
        return
    book[:, _ALIVE] = 0
    kind = MARKET if np.isnan(price) else kind
    entering = wanted if protected else wanted - held
    if protected and held != 0:
        _place(book, _LEAVES, -held, kind, price)
    if entering == 0:
        return
    _place(book, _ENTERS, entering, kind, price)
    if not np.isnan(stop):
        _place(book, _STOPS, -entering, STOP, stop)
    if not np.isnan(trail):
        _place(book, _STOPS, -entering, TRAIL, trail)
    if not np.isnan(take_profit):
        _place(book, _TAKES, -entering, LIMIT, take_profit)


@jit(types.float64(_F, types.int64))
def _level(column: Any, row: int) -> Any:
    """NaN where there is no such column."""
    return column[row] if len(column) else np.nan


@jit(types.int64(_F, _F, _F, types.int64, types.int64, _uniform(types.float64, 2)))
def _leap(targets: Any, lows: Any, highs: Any, row: int, stop: int, marks: Any) -> Any:
    """The next row, from `row` on, that has a target or meets an order."""
    low, high = marks
    while row < stop and np.isnan(targets[row]) and lows[row] > low and highs[row] < high:
        row += 1
    return row


@jit(_tuple((_TABLE, types.int64))(_F, _uniform(_F, 4), _uniform(_F, 5), _I, types.float64, _RULES))
def fills(targets: Any, levels: Any, bars: Any, offsets: Any, kind: float, rules: Any) -> Any:
    """What is filled, segment by segment, as FILL_COLUMNS; and how many orders still work at the end.

    `levels` are price, stop, target and trail, empty where not in use; `bars` open, high, low, close and volume.
    `rules` are the full position, the lot, whether a touch fills a limit, which of both reached comes first, whether
    market orders wait for the bar's worst, the share of its volume that may trade (0: all), and slippage by price,
    fixed and by the square of the volume's share. All columns are in the segments' order, and so are the rows told.
    """
    full, lot, participation = rules[0], rules[1], rules[5]
    opening, highs, lows, close, volume = bars
    entry, stop, take_profit, trail = levels
    book, bar, into = np.zeros((_SLOTS, 11)), np.zeros(6), np.empty((1024, FILL_COLUMNS))
    waiting = 0
    for segment in range(len(offsets) - 1):
        book[:, _ALIVE] = 0
        bar[_HELD], low, high = 0.0, -np.inf, np.inf
        row, end = offsets[segment] - 1, offsets[segment + 1]
        while True:
            row = _leap(targets, lows, highs, row + 1, end, (low, high))
            if row == end:
                break
            if not (lows[row] > low and highs[row] < high):
                if bar[_COUNT] + _MOST_FILLS > len(into):
                    into = np.concatenate((into, np.empty_like(into)))
                prices = (opening[row], highs[row], lows[row], close[row])
                bar[_ROW], bar[_VOLUME] = row, volume[row]
                bar[_ROOM] = np.floor(bar[_VOLUME] * participation / lot + _ALMOST) * lot if participation else np.inf
                _match_open(book, prices, bar, rules, into)
                _match_rest(book, prices, bar, rules, into)
                _tidied(book)
                low, high = _marks(book)
            target = targets[row]
            if np.isnan(target):
                continue
            lots = target * full / lot
            wanted = np.trunc(lots + _ALMOST if lots > 0 else lots - _ALMOST) * lot
            at_row = (_level(entry, row), _level(stop, row), _level(take_profit, row), _level(trail, row))
            _aim(book, wanted, bar[_HELD], kind, at_row)
            low, high = _marks(book)
        waiting += _tidied(book)
    return into[: int(bar[_COUNT])].copy(), waiting
