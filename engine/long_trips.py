"""Round trips of a run piece after piece: folded as they come, of those that ended what figures are made of is kept."""

from array import array
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.columns import BarColumns
from engine.exchange import Execution
from engine.ledger import RoundTrip, SplitDone, Trip
from engine.long_run import Played
from engine.market import Market
from engine.statistics.excursions import extremes
from engine.statistics.figures import Closed

_NEVER_US = 2**63 - 1


@dataclass
class _Held:
    """A trip under way: `entered_at` is the number of its first bar among its contract's."""

    trip: Trip
    entered_at: int
    low: float = np.inf
    high: float = -np.inf


@dataclass
class _Last:
    """The newest bar of a contract, and how many came until then."""

    bars: int = 0
    close: float = 0.0
    end_us: int = 0


@dataclass
class Trips:
    """As `engine.ledger.round_trips`, with 32 bytes for each that has ended; the last `kept_max` are kept whole."""

    market: Market
    kept_max: int
    profits: "array[float]" = field(default_factory=lambda: array("d"))
    gains: "array[float]" = field(default_factory=lambda: array("d"))
    bars: "array[float]" = field(default_factory=lambda: array("d"))
    costs: "array[float]" = field(default_factory=lambda: array("d"))
    adverse: float = 0.0
    favourable: float = 0.0
    """Sums of the excursions: see `engine.statistics.excursions`."""

    def __post_init__(self) -> None:
        self.last: deque[RoundTrip] = deque(maxlen=self.kept_max)
        self._held: dict[int, _Held] = {}
        self._newest: defaultdict[int, _Last] = defaultdict(_Last)

    def take(self, played: Played) -> list[RoundTrip]:
        """Fold one piece; the trips that ended in it, in the order of their end."""
        columns, splits = played.columns, list(played.splits)
        ended: list[tuple[RoundTrip, _Held]] = []
        for execution in played.executions:
            self._split_until(splits, execution.row)
            place = self._newest[execution.contract_id].bars + int(columns.places[execution.row])
            self._fold(execution, place, ended)
        self._split_until(splits, len(columns))
        self._look_at_ranges(columns, ended)
        for contract_id, own in columns.rows.items():
            before, row = self._newest[contract_id].bars, int(own[-1])
            self._newest[contract_id] = _Last(before + len(own), float(columns.close[row]), int(columns.end_us[row]))
        for trip, held in ended:
            self._keep(trip, held)
        return [trip for trip, _ in ended]

    def _fold(self, execution: Execution, place: int, ended: list[tuple[RoundTrip, _Held]]) -> None:
        contract_id, rest = execution.contract_id, execution.quantity
        under_way = self._held.get(contract_id)
        if under_way is not None:
            trip = under_way.trip
            held = trip.opened + trip.closed
            closing = rest if held * (held + rest) >= 0 else -held
            trip.take(execution, closing)
            rest -= closing
            if held + closing == 0:
                bars, foreign = place - under_way.entered_at, contract_id in self.market.currencies
                ended.append((trip.end(contract_id, execution.time_us, bars, foreign=foreign), under_way))
                del self._held[contract_id]
        if rest != 0:
            fresh = self._held[contract_id] = _Held(Trip(execution), place)
            fresh.trip.take(execution, rest)

    def _split_until(self, splits: list[SplitDone], row: int) -> None:
        while splits and splits[0].row <= row:
            done = splits.pop(0)
            if done.contract_id in self._held:
                self._held[done.contract_id].trip.split(done)

    def _look_at_ranges(self, columns: BarColumns, ended: Sequence[tuple[RoundTrip, _Held]]) -> None:
        """Lowest and highest prices of what was held in this piece."""
        spans: defaultdict[int, list[tuple[int, int, _Held]]] = defaultdict(list)
        for trip, held in ended:
            spans[trip.contract_id].append((trip.entry_us, trip.exit_us, held))
        for contract_id, held in self._held.items():
            spans[contract_id].append((held.trip.entry_us, _NEVER_US, held))
        for contract_id, mine in spans.items():
            if contract_id not in columns.rows:
                continue
            entries, exits, helds = zip(*mine, strict=True)
            low, high = extremes(columns, columns.rows[contract_id], entries, exits)
            for held, least, most in zip(helds, low.tolist(), high.tolist(), strict=True):
                held.low, held.high = min(held.low, least), max(held.high, most)

    def _keep(self, trip: RoundTrip, held: _Held) -> None:
        self.last.append(trip)
        self.profits.append(trip.pnl)
        if trip.gain is not None:
            self.gains.append(trip.gain)
        self.bars.append(trip.bars)
        self.costs.append(trip.commission + trip.slippage)
        size = abs(trip.entry_price) or np.nan
        down = min(min(held.low, trip.exit_price) - trip.entry_price, 0.0) / size
        up = max(max(held.high, trip.exit_price) - trip.entry_price, 0.0) / size
        self.adverse += down if trip.quantity > 0 else -up
        self.favourable += up if trip.quantity > 0 else -down

    def still_open(self) -> list[RoundTrip]:
        """Those that have not ended, valued at the last closes, in the order of their contracts."""
        return [self._valued(contract_id, held) for contract_id, held in sorted(self._held.items())]

    def _valued(self, contract_id: int, held: _Held) -> RoundTrip:
        trip, newest = held.trip, self._newest[contract_id]
        value = (trip.opened + trip.closed) * newest.close
        trip.left += value
        trip.earned += value * self.market.worth(contract_id, newest.end_us)
        bars, foreign = newest.bars - held.entered_at, contract_id in self.market.currencies
        return trip.end(contract_id, newest.end_us, bars, still_open=True, foreign=foreign)

    def closed(self) -> Closed:
        """What figures are made of."""
        return Closed(self.profits, self.gains, self.bars, self.costs, len(self._held))

    def excursions(self) -> Mapping[str, float | None]:
        """Their means."""
        count = len(self.profits)
        return {
            "average_mae": self.adverse / count if count else None,
            "average_mfe": self.favourable / count if count else None,
        }
