"""What a long run shows beside its hash, gathered piece by piece: as `engine.answer` takes it of a whole result."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from engine.circumstances import FILLS_MAX, JUMPS_TOLD, ROUND_TRIPS_MAX, jumps_in, moves_of, told_jump
from engine.columns import Floats, Integers
from engine.exchange import Execution
from engine.extracts import PRICE_POINTS_MAX, SYMBOLS_MAX, numbers, spread, time_text
from engine.ledger import RoundTrip
from engine.long_figures import CurveSums, Depths, Held
from engine.long_run import Played
from engine.long_survey import Survey
from engine.long_trips import Trips
from engine.market import Market
from engine.statistics.sessions import session_ends


class Gathering:
    """Everything but fills, equity and hash, which the run itself has."""

    def __init__(
        self, survey: Survey, shown: Integers, held: Held, market: Market, on_progress: Callable[[int, int], None]
    ) -> None:
        cash = held.cash
        self.sums, self.depths, self.trips = CurveSums(cash), Depths(cash), Trips(market, ROUND_TRIPS_MAX)
        self.executions: deque[Execution] = deque(maxlen=FILLS_MAX)
        self.points: list[tuple[str, float]] = []
        self.benchmark: list[float] = []
        """At each of `points`."""
        self.benchmark_ends: list[tuple[int, float]] = []
        """At the end of each session; the last of one UTC date counts."""
        self.denied = 0
        self.first_denied = ""
        self._survey = survey
        self._shown = shown
        self._held = held
        self._on_progress = on_progress
        self._times = 0
        self._jumps: defaultdict[int, list[str]] = defaultdict(list)
        self._closes: dict[int, float] = {}
        self._seen: defaultdict[int, int] = defaultdict(int)
        self._prices: dict[int, dict[str, Any]] = {}
        self._rows: dict[int, dict[str, Any]] = {}
        self._won: defaultdict[int, int] = defaultdict(int)

    @property
    def contracts(self) -> Collection[int]:
        """See `engine.long_run.Watch`."""
        return self._survey.by_contract.keys()

    def take(self, played: Played) -> None:
        """See `engine.long_run.Watch`."""
        self.sums.take(played)
        self.depths.take(played.times_us, played.equity)
        self.executions.extend(played.executions)
        self._add_costs(played)
        for trip in self.trips.take(played):
            self._add_trip(trip)
        if played.denied and not self.denied:
            self.first_denied = played.denied[0].reason
        self.denied += len(played.denied)
        self._take_points(played)
        self._take_prices(played)
        self._on_progress(played.first + len(played.columns), self._survey.bars)

    def _take_points(self, played: Played) -> None:
        times = played.times_us
        values = self._held.values(played.columns, times)
        first, last = np.searchsorted(self._shown, (self._times, self._times + len(times)))
        kept = self._shown[first:last] - self._times
        self._times += len(times)
        self.points += zip(map(time_text, times[kept].tolist()), played.equity[kept].tolist(), strict=True)
        if len(values):
            ends = session_ends(times)
            self.benchmark += values[kept].tolist()
            self.benchmark_ends += zip(times[ends].tolist(), values[ends].tolist(), strict=True)

    def benchmark_at_ends(self, ends_us: Collection[int]) -> Floats:
        """The benchmark's worth at those moments, the ends of sessions; empty without one."""
        worth = dict(self.benchmark_ends)
        return np.array([worth[each] for each in ends_us]) if worth else np.empty(0)

    # prices

    def _take_prices(self, played: Played) -> None:
        columns, shown = played.columns, list(self._survey.by_contract)[:SYMBOLS_MAX]
        named = dict(played.revealed.named())
        for contract_id, own in columns.rows.items():
            seen = self._seen[contract_id]
            self._seen[contract_id] += len(own)
            self._look_for_jumps(played, contract_id)
            if contract_id not in shown:
                continue
            wanted = spread(self._survey.by_contract[contract_id], PRICE_POINTS_MAX)
            first, last = np.searchsorted(wanted, (seen, seen + len(own)))
            rows = own[wanted[first:last] - seen]
            told = self._prices.setdefault(contract_id, {"time": [], "close": [], "indicators": {}})
            told["time"] += map(time_text, columns.end_us[rows].tolist())
            told["close"] += numbers(columns.close[rows])
            for name, values in named.items():
                told["indicators"].setdefault(name, []).extend(numbers(values[rows]))

    def _look_for_jumps(self, played: Played, contract_id: int) -> None:
        columns, found = played.columns, self._jumps[contract_id]
        own = columns.rows[contract_id]
        closes = columns.close[own]
        before = np.concatenate(([self._closes.get(contract_id, 0.0)], closes[:-1]))
        self._closes[contract_id] = float(closes[-1])
        moves = moves_of(before, columns.open[own])
        for place in jumps_in(moves)[: JUMPS_TOLD - len(found)]:
            found.append(told_jump(columns.symbol(contract_id), int(columns.start_us[own[place]]), moves[place]))

    def jumps(self) -> list[str]:
        """Moves that look like a split nobody adjusted for."""
        return [told for contract_id in sorted(self._jumps) for told in self._jumps[contract_id]][:JUMPS_TOLD]

    def prices(self, symbol: Callable[[int], str]) -> tuple[dict[str, Any], ...]:
        """As `engine.extracts.prices`."""
        return tuple({"symbol": symbol(each), **self._prices[each]} for each in sorted(self._prices))

    # by symbol

    def _row(self, contract_id: int) -> dict[str, Any]:
        nothing = {"trades": 0, "win_rate": None, "traded": 0.0, "commission": 0.0, "slippage": 0.0, "pnl": 0.0}
        return self._rows.setdefault(contract_id, nothing)

    def _add_costs(self, played: Played) -> None:
        for each in played.executions:
            row = self._row(each.contract_id)
            row["traded"] += abs(each.quantity * each.price)
            row["commission"] += each.commission
            row["slippage"] += each.slippage * abs(each.quantity)

    def _add_trip(self, trip: RoundTrip) -> None:
        row = self._row(trip.contract_id)
        row["pnl"] += trip.pnl
        row["trades"] += not trip.open
        self._won[trip.contract_id] += not trip.open and trip.pnl > 0

    def end(self) -> None:
        """Value what is still open; nothing comes after this."""
        still_open = self.trips.still_open()
        self.trips.last.extend(still_open)
        for trip in still_open:
            self._add_trip(trip)

    def by_symbol(self, symbol: Callable[[int], str]) -> tuple[dict[str, Any], ...]:
        """As `engine.extracts.by_symbol`."""
        found = []
        for contract_id, bars in self._survey.by_contract.items():
            row = self._row(contract_id)
            row["win_rate"] = self._won[contract_id] / row["trades"] if row["trades"] else None
            found.append({"symbol": symbol(contract_id), "bars": bars, **row})
        return tuple(sorted(found, key=lambda each: str(each["symbol"])))
