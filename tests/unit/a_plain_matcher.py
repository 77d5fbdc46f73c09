"""An exchange written a second time, from docs/backtests.md alone and in another way: every order is looked at as if
it were a purchase, a sale in a market whose prices are negated. Slow, and as plain as it can be."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.columns import BarColumns
from engine.facts import Bar
from engine.options import BacktestOptions

DAY_US = 86_400_000_000
Mirror = tuple[float, float, float, float]
Script = dict[int, list[tuple[str, dict[str, Any]]]]
"""By row, what the strategy does at its close: ("order" | "bracket" | "cancel" | "modify" | "target", terms)."""


@dataclass
class Wish:
    """An order."""

    number: int
    contract: int
    quantity: float
    kind: str
    tif: str
    after: int
    wait: int
    terms: dict[str, Any]
    parent: "Wish | None" = None
    group: str = ""
    reduces: bool = False
    queue: float = 0.0
    filled: float = 0.0
    open: bool = True
    fresh: bool = True
    live_limit: bool = False
    market_now: bool = False
    level: float | None = None
    entry: float | None = None

    @property
    def s(self) -> float:
        return 1.0 if self.quantity > 0 else -1.0

    def left(self) -> float:
        whole = abs(self.quantity) if self.parent is None else min(abs(self.quantity), self.parent.filled)
        return whole - self.filled

    @property
    def asleep(self) -> bool:
        return self.parent is not None and not self.parent.filled

    @property
    def stops(self) -> bool:
        return self.kind in ("STP", "STP LMT", "TRAIL", "TRAIL LIMIT")


@dataclass
class Plain:
    """The market, the account and the fills."""

    columns: BarColumns
    options: BacktestOptions
    script: Script
    book: list[Wish] = field(default_factory=list)
    fills: list[tuple[int, int, float, float, float]] = field(default_factory=list)
    held: dict[int, float] = field(default_factory=dict)
    room: dict[int, float] = field(default_factory=dict)
    numbers: int = 0

    # the run

    def run(self) -> tuple[list[tuple[int, int, float, float, float]], list[float]]:
        """(row, contract, quantity, price, commission) of every fill, and the equity at each distinct end."""
        bars = list(self.columns.bars())
        opens_at: dict[int, list[int]] = {}
        for row, bar in enumerate(bars):
            first = next(n for n, each in enumerate(bars) if each.end_us > bar.start_us)
            opens_at.setdefault(first, []).append(row)
        for row, bar in enumerate(bars):
            for other in sorted(opens_at.get(row, ()), key=lambda each: (bars[each].start_us, bars[each].contract_id)):
                self._open(other, bars[other])
            self._rest(row, bar)
            for what, terms in self.script.get(row, ()):
                getattr(self, f"_do_{what}")(bar, row, bars, **terms)
        return self.fills, self._equity(bars)

    def _equity(self, bars: list[Bar]) -> list[float]:
        cash = self.options.cash
        held: set[int] = set()
        last: dict[int, float] = {}
        equity: dict[int, float] = {}
        waiting = sorted(self.fills, key=lambda each: bars[each[0]].end_us)
        for row, bar in enumerate(bars):
            while waiting and bars[waiting[0][0]].end_us <= bar.end_us:
                _, contract, quantity, price, commission = waiting.pop(0)
                cash -= quantity * price + commission
                held.add(contract)
            last[bar.contract_id] = bar.close
            value = cash
            for contract in sorted(held):
                quantity = 0.0
                for fill_row, number, size, _, _ in self.fills:
                    if number == contract and fill_row <= row:
                        quantity += size
                value += quantity * last.get(contract, 0.0)
            equity[bar.end_us] = value
        return list(equity.values())

    # what the script does

    def _do_target(self, bar: Bar, row: int, bars: list[Bar], contract: int, value: float) -> None:
        lots = value * self.options.quantity / self.options.lot
        wanted = int(lots + 1e-9 if lots > 0 else lots - 1e-9) * self.options.lot
        self.book = [each for each in self.book if each.number or each.contract != contract]
        change = wanted - self.held.get(contract, 0.0)
        if change:
            self._add(bar, row, bars, contract, change, "MKT", "GTC", {}, number=0)

    def _do_order(self, bar: Bar, row: int, bars: list[Bar], contract: int, quantity: float, **terms: Any) -> None:
        kind, tif, group = terms.pop("kind"), terms.pop("tif"), terms.pop("oca", "")
        self._add(bar, row, bars, contract, quantity, kind, tif, terms, group=group)

    def _do_bracket(
        self,
        bar: Bar,
        row: int,
        bars: list[Bar],
        contract: int,
        quantity: float,
        stop: float,
        target: float,
        **terms: Any,
    ) -> None:
        kind, tif = terms.pop("kind", "MKT"), terms.pop("tif", "DAY")
        parent = self._add(bar, row, bars, contract, quantity, kind, tif, terms)
        for child, its in (("STP", {"stop": stop}), ("LMT", {"limit": target})):
            made = self._add(bar, row, bars, contract, -quantity, child, "GTC", its, parent=parent)
            made.group, made.reduces = f"#{parent.number}", True

    def _do_cancel(self, bar: Bar, row: int, bars: list[Bar], number: int) -> None:
        for each in list(self.book):
            if each.number == number:
                self._close(each)
        self._sweep()

    def _do_modify(self, bar: Bar, row: int, bars: list[Bar], number: int, limit: float) -> None:
        for each in self.book:
            if each.number == number and each.kind == "LMT":
                each.terms["limit"] = limit

    def _add(
        self,
        bar: Bar,
        row: int,
        bars: list[Bar],
        contract: int,
        quantity: float,
        kind: str,
        tif: str,
        terms: dict[str, Any],
        *,
        parent: Wish | None = None,
        group: str = "",
        number: int | None = None,
    ) -> Wish:
        if number is None:
            self.numbers += 1
            number = self.numbers
        wait = 0 if parent else self.options.latency_bars
        wish = Wish(number, contract, quantity, kind, tif, bar.end_us, wait, dict(terms), parent, group)
        own = [each for each in range(row + 1) if bars[each].contract_id == contract]
        if own:
            wish.queue = bars[own[-1]].volume * self.options.queue_share
        self.book.append(wish)
        fresh_close = own and bars[own[-1]].end_us == bar.end_us
        if self.options.fill == "same_close" and fresh_close:
            self._at_market_close(own[-1], bars[own[-1]])
            self._sweep()
        return wish

    # the steps of a bar

    def _mine(self, bar: Bar) -> list[Wish]:
        return [each for each in self.book if each.contract == bar.contract_id]

    def _open(self, row: int, bar: Bar) -> None:
        self.room[bar.contract_id] = self._capacity(bar)
        for wish in self._mine(bar):
            if not wish.open or bar.start_us < wish.after:
                continue
            if wish.terms.get("good_till_us", math.inf) <= bar.start_us:
                self._close(wish)
                continue
            if wish.asleep:
                continue
            if wish.wait:
                wish.wait -= 1
                continue
            if wish.tif == "OPG" and not self._edge(row, -1):
                continue
            if wish.kind == "MKT" and wish.tif != "OPG" and self.options.fill in ("same_close", "worst_of_bar"):
                wish.fresh = False
                continue
            self._face(wish, bar.open, row, bar, inside=False)
            wish.fresh = False
            if wish.tif in ("OPG", "IOC", "FOK"):
                self._close(wish)
        self._sweep()

    def _rest(self, row: int, bar: Bar) -> None:  # noqa: C901, PLR0912 # the steps in one place, to be read beside the docs
        for wish in self._ordered(bar, [each for each in self._mine(bar) if not each.fresh]):
            if not wish.open:
                continue
            if wish.kind == "MKT":
                if self.options.fill == "worst_of_bar":
                    self._fill(wish, bar.high if wish.s > 0 else bar.low, True, None, row, bar, inside=True)
            else:
                self._range(wish, row, bar)
        while late := [each for each in self._mine(bar) if each.entry is not None and each.fresh]:
            for wish in self._ordered(bar, late):
                if wish.open:
                    assert wish.entry is not None
                    self._face(wish, wish.entry, row, bar, inside=True)
                    if not wish.filled:
                        wish.fresh = False
                        self._range(wish, row, bar)
                wish.fresh = False
        for wish in self._mine(bar):
            wish.entry = None
        if self.options.fill == "same_close":
            self._at_market_close(row, bar)
        if self._edge(row, 1):
            for wish in self._mine(bar):
                if wish.fresh or not wish.open:
                    continue
                if wish.kind in ("MOC", "LOC"):
                    close, limit = wish.s * bar.close, wish.s * wish.terms.get("limit", math.inf)
                    if wish.kind == "MOC" or close < limit or (self._touch and close == limit):
                        self._fill(wish, bar.close, wish.kind == "MOC", None, row, bar, inside=True)
                if wish.tif == "DAY":
                    self._close(wish)
        self._sweep()

    def _at_market_close(self, row: int, bar: Bar) -> None:
        for wish in self._mine(bar):
            waits = wish.wait or wish.asleep or wish.tif == "OPG" or bar.end_us < wish.after
            if wish.open and wish.kind == "MKT" and not waits:
                self._fill(wish, bar.close, True, None, row, bar, inside=True)

    def _edge(self, row: int, step: int) -> bool:
        own = self.columns.rows[int(self.columns.contract_id[row])].tolist()
        place = own.index(row) + step
        if not 0 <= place < len(own):
            return True
        return bool(self.columns.start_us[own[place]] // DAY_US != self.columns.start_us[row] // DAY_US)

    def _ordered(self, bar: Bar, wishes: list[Wish]) -> list[Wish]:
        if self.options.both_reached == "stop_first":
            first = [each for each in wishes if each.stops]
        elif self.options.both_reached == "target_first":
            first = [each for each in wishes if not each.stops]
        else:
            up = bar.high - bar.open <= bar.open - bar.low
            first = [each for each in wishes if (each.stops == (each.quantity > 0)) == up]
        return first + [each for each in wishes if each not in first]

    # one order and the prices it sees, all as a buyer sees them

    @property
    def _touch(self) -> bool:
        return self.options.limit_fill == "touch"

    def _ok(self, price: float, limit: float) -> bool:
        return price < limit or (self._touch and price == limit)

    def _gap(self, wish: Wish, price: float) -> float:
        """How far a trailing stop stays behind."""
        return float(wish.terms.get("trail") or abs(price) * wish.terms["trail_percent"] / 100.0)

    def _face(self, wish: Wish, at: float, row: int, bar: Bar, *, inside: bool) -> None:
        """The market stands at one price."""
        price, terms, s = wish.s * at, wish.terms, wish.s
        limit, stop = s * terms.get("limit", 0.0), s * terms.get("stop", 0.0)
        if wish.kind in ("TRAIL", "TRAIL LIMIT") and not (wish.live_limit or wish.market_now):
            drawn = price + self._gap(wish, at)
            wish.level = drawn if wish.level is None else min(wish.level, drawn)
            stop = wish.level
        if wish.kind in ("MKT", "MTL") and not wish.live_limit:
            wish.market_now = True
        if wish.kind in ("STP", "STP LMT", "TRAIL", "TRAIL LIMIT") and not wish.live_limit and price >= stop:
            self._wake(wish, stop)
        if wish.kind in ("MIT", "LIT") and price <= stop:
            self._wake(wish, stop)
        if wish.kind == "LMT":
            wish.live_limit = True
        limit = s * terms.get("limit", 0.0)
        if wish.market_now:
            self._fill(wish, at, True, None, row, bar, inside=inside)
        elif wish.live_limit and self._ok(price, limit):
            self._fill(wish, at, False, None, row, bar, inside=inside)

    def _wake(self, wish: Wish, stop: float) -> None:
        if wish.kind == "TRAIL LIMIT" and not wish.live_limit:
            wish.terms["limit"] = wish.s * (stop + wish.terms["limit_offset"])
        if wish.kind in ("STP LMT", "TRAIL LIMIT", "LIT"):
            wish.live_limit = True
        else:
            wish.market_now = True

    def _range(self, wish: Wish, row: int, bar: Bar) -> None:  # noqa: C901, PLR0911, PLR0912 # as above
        s, terms = wish.s, wish.terms
        low, high, close = (
            s * each for each in ((bar.low, bar.high, bar.close) if s > 0 else (bar.high, bar.low, bar.close))
        )
        late = wish.entry is not None
        if late:
            low = close
        if wish.market_now:
            return
        if wish.live_limit:
            if self.options.limit_fill == "queue" and not late and low == s * terms["limit"]:
                wish.queue -= bar.volume
                if wish.queue < 0:
                    self._fill(wish, terms["limit"], False, None, row, bar, inside=True)
                    return
            if self._ok(low, s * terms["limit"]):
                self._fill(wish, terms["limit"], False, None, row, bar, inside=True)
            return
        stop = s * terms.get("stop", 0.0)
        if wish.kind in ("TRAIL", "TRAIL LIMIT"):
            assert wish.level is not None
            stop = wish.level
            if high < stop:
                wish.level = min(stop, low + self._gap(wish, s * low))
                stop = wish.level
                if close < stop:
                    return
        elif wish.kind in ("STP", "STP LMT"):
            if high < stop:
                return
        elif wish.kind in ("MIT", "LIT"):
            if low > stop:
                return
        else:
            return
        self._wake(wish, stop)
        if wish.market_now:
            self._fill(wish, s * stop, True, None, row, bar, inside=True)
            return
        limit, after = s * terms["limit"], low if wish.kind == "LIT" else close
        if self._ok(stop, limit):
            self._fill(wish, s * stop, True, s * limit, row, bar, inside=True)
        elif self._ok(after, limit):
            self._fill(wish, s * limit, False, None, row, bar, inside=True)

    # money

    def _capacity(self, bar: Bar) -> float:
        if self.options.fill != "volume_participation":
            return math.inf
        return math.floor(bar.volume * self.options.participation / self.options.lot + 1e-9) * self.options.lot

    def _fill(
        self, wish: Wish, price: float, slips: bool, cap: float | None, row: int, bar: Bar, *, inside: bool
    ) -> None:
        size = min(wish.left(), self.room.get(bar.contract_id, self._capacity(bar)))
        if size <= 0 or (wish.tif == "FOK" and size < wish.left()):
            return
        if slips:
            price = price + wish.s * self._slip(price, size, bar)
        if cap is not None:
            price = wish.s * min(wish.s * price, wish.s * cap)
        self.room[bar.contract_id] = self.room.get(bar.contract_id, self._capacity(bar)) - size
        commission = self._commission(size, price)
        wish.filled += size
        wish.open = wish.filled < abs(wish.quantity)
        if wish.kind == "MTL" and wish.market_now:
            wish.market_now, wish.live_limit, wish.terms["limit"] = False, True, price
        self.fills.append((row, bar.contract_id, wish.s * size, price, commission))
        self.held[bar.contract_id] = self.held.get(bar.contract_id, 0.0) + wish.s * size
        for child in self.book:
            if inside and child.parent is wish and child.fresh:
                child.entry = price
        for other in list(self.book) if wish.group else ():
            if other.group == wish.group and other is not wish and other.open:
                if wish.reduces and abs(other.quantity) > size:
                    other.quantity -= other.s * size
                else:
                    self._close(other)

    def _slip(self, price: float, size: float, bar: Bar) -> float:
        rate = self.options.slippage_rate
        if self.options.slippage == "bps":
            return abs(price) * (rate / 10_000)
        if self.options.slippage == "half_spread":
            return abs(price) * (rate / 20_000)
        if self.options.slippage == "volume_share":
            share = min(size / bar.volume, 1.0) if bar.volume > 0 else 1.0
            return abs(price) * rate * (share * share)
        return rate if self.options.slippage == "fixed" else 0.0

    def _commission(self, size: float, price: float) -> float:
        rate = self.options.commission_rate
        if self.options.commission == "bps":
            return size * abs(price) * (rate / 10_000)
        return size * rate if self.options.commission == "per_share" else 0.0

    def _close(self, wish: Wish) -> None:
        if not wish.open:
            return
        wish.open = False
        if wish.filled == 0:
            for child in self.book:
                if child.parent is wish and child.open:
                    self._close(child)

    def _sweep(self) -> None:
        for wish in self.book:
            if wish.parent is not None and not wish.parent.open and wish.left() <= 0:
                wish.open = False
        self.book = [each for each in self.book if each.open]


def orders_in(script: Script) -> Iterable[tuple[int, str, dict[str, Any]]]:
    """Every deed of a script with its row."""
    return ((row, what, terms) for row, deeds in script.items() for what, terms in deeds)
