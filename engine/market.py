"""What a backtest may know of the market beside its bars: sessions, corporate actions, currencies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.columns import BarColumns, Floats, Integers
from engine.facts import CorporateAction, Dividend, Session, Split

DAY_US = 86_400_000_000


class MarketError(ValueError):
    """Sessions, actions or rates that cannot be: one line that says which."""


@dataclass(frozen=True, eq=False)
class Rates:
    """What one unit of a currency was worth in the account's, from each of `times_us` on; ascending."""

    times_us: Integers
    worth: Floats

    def __post_init__(self) -> None:
        if len(self.times_us) != len(self.worth) or not len(self.worth):
            raise MarketError("rates are as many as their times, and at least one")
        if (np.diff(self.times_us) <= 0).any() or not (np.isfinite(self.worth) & (self.worth > 0)).all():
            raise MarketError("rates ascend in time and are above zero")

    def at(self, time_us: int) -> float:
        """The rate known at a moment; the first one before there was any."""
        return float(self.worth[max(int(np.searchsorted(self.times_us, time_us, side="right")) - 1, 0)])

    def column(self, times_us: Integers) -> Floats:
        """`at` for many moments."""
        places = np.searchsorted(self.times_us, times_us, side="right") - 1
        return self.worth[np.maximum(places, 0)]


@dataclass(frozen=True, eq=False)
class Market:
    """Sessions of all contracts, in order (without them, each day of UTC on which bars begin is one); splits and
    dividends, to be handed in where prices are not adjusted for them; the currency of contracts that are not in the
    account's, and its rates. `larger` has bars of their own for larger frames (by size in microseconds), the daily ones
    beside minutes for instance; without them a frame is made of the bars themselves.
    """

    sessions: Sequence[Session] = ()
    actions: Sequence[CorporateAction] = ()
    larger: Mapping[int, BarColumns] = field(default_factory=dict)
    currencies: Mapping[int, str] = field(default_factory=dict)
    rates: Mapping[str, Rates] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for before, after in zip(self.sessions, self.sessions[1:], strict=False):
            if after.open_us < before.close_us:
                raise MarketError(f"a session opens at {after.open} before the one before has closed")
        for action in self.actions:
            if isinstance(action, Split) and not 0 < action.ratio < np.inf:
                raise MarketError(f"a split has a ratio above zero, not {action.ratio}")
            if isinstance(action, Dividend) and not 0 <= action.amount < np.inf:
                raise MarketError(f"a dividend is zero or more a share, not {action.amount}")
        if missing := sorted(set(self.currencies.values()) - set(self.rates)):
            raise MarketError(f"no rates for {', '.join(missing)}")

    def worth(self, contract_id: int, time_us: int) -> float:
        """What a unit of the contract's currency is worth in the account's."""
        currency = self.currencies.get(contract_id)
        return 1.0 if currency is None else self.rates[currency].at(time_us)

    def worth_column(self, contract_id: int, times_us: Integers) -> Floats | None:
        """`worth` for many moments; None where it is 1 throughout."""
        currency = self.currencies.get(contract_id)
        return None if currency is None else self.rates[currency].column(times_us)

    def session_numbers(self, columns: BarColumns) -> Integers:
        """Each row's session; it never falls from row to row."""
        if self.sessions:
            opens = np.array([each.open_us for each in self.sessions])
            numbers = np.searchsorted(opens, columns.start_us, side="right") - 1
        else:
            numbers = columns.start_us // DAY_US
        return np.maximum.accumulate(numbers)

    def sessions_of(self, columns: BarColumns) -> list[tuple[int, Session]]:
        """Each session that has rows: its first row, and its hours."""
        if not len(columns):
            return []
        numbers = self.session_numbers(columns)
        firsts = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
        opens = np.minimum.reduceat(columns.start_us, firsts).tolist()
        closes = np.maximum.reduceat(columns.end_us, firsts).tolist()
        hours = [Session(*each) for each in zip(opens, closes, strict=True)]
        if self.sessions:
            hours = [
                self.sessions[number] if number >= 0 else seen
                for number, seen in zip(numbers[firsts].tolist(), hours, strict=True)
            ]
        return list(zip(firsts.tolist(), hours, strict=True))
