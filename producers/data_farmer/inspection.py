"""Answers about the past judged before they are published: what cannot be stays out, what changed is explained."""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta

import polars as pl

from infra.bar_moments import zone_of
from infra.clock import Clock
from infra.corporate_actions import effective
from infra.gateway import Series
from infra.gateway.past import DAY
from infra.quality import stream
from infra.quality.findings import findings_of
from infra.quality.frames import judge
from infra.quality.hours import TradingHours
from infra.quality.rules import WINDOW
from infra.splits import split_in
from schemas.corporate import ActionOrigin, Split
from schemas.market import Quarantined
from schemas.validation import Contract

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TAILS_MAX = 2_000
"""Series of which the last bars are remembered; the one that was silent longest is forgotten."""
_CLOCKS_AGREE = timedelta(days=2)
_NAME = "data_farmer"


class Inspection:
    """Remembers of each series the last bars that it has seen, so that answers in a row are judged as one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tails: OrderedDict[tuple[int, Series], pl.DataFrame] = OrderedDict()
        self._hours: dict[str, TradingHours | None] = {}

    def judged(self, contract: Contract, series: Series, bars: pl.DataFrame) -> tuple[pl.DataFrame, list[Quarantined]]:
        """The bars that may be published, and what was found about all of them (a frame of BAR_SCHEMA)."""
        if bars.is_empty():
            return bars, []
        rules = stream.Series(int(series.bar_size.total_seconds()), self._hours_of(contract), series.price_kind)
        judged = judge(bars, rules, before=self._before(contract, series, bars))
        known = self._tails.get((contract.contract_id, series))
        self._tails[contract.contract_id, series] = (bars if known is None else known.vstack(bars)).tail(2 * WINDOW)
        self._tails.move_to_end((contract.contract_id, series))
        if len(self._tails) > _TAILS_MAX:
            self._tails.popitem(last=False)
        return judged.passing, findings_of(judged, bars, contract.symbol)

    def is_short_of(self, contract: Contract, series: Series, bars: pl.DataFrame) -> bool:
        """Whether a few days of a series are to be judged of which nothing was seen since the process began."""
        is_new = (contract.contract_id, series) not in self._tails
        return is_new and series.bar_size >= DAY and 0 < len(bars) < WINDOW

    def recall(self, contract: Contract, series: Series, bars: pl.DataFrame) -> None:
        """Bars that were judged before the process began."""
        if not bars.is_empty():
            self._tails[contract.contract_id, series] = bars.tail(2 * WINDOW)

    def _before(self, contract: Contract, series: Series, bars: pl.DataFrame) -> pl.DataFrame | None:
        """The last bars seen, if these go on after them: answers come in any order."""
        tail = self._tails.get((contract.contract_id, series))
        if tail is None or tail["start_us"][-1] >= bars["start_us"][0]:
            self._tails.pop((contract.contract_id, series), None)
            return None
        return tail

    def _hours_of(self, contract: Contract) -> TradingHours | None:
        exchange = contract.primary_exchange or contract.exchange
        if exchange not in self._hours:
            self._hours[exchange] = TradingHours.of(exchange)
        return self._hours[exchange]

    def split(self, contract: Contract, known: pl.DataFrame, answer: pl.DataFrame, after: pl.DataFrame) -> Split | None:
        """The split that explains why an answer tells another past than the one that was known; see `split_in`."""
        same = (pl.col("price_kind") == answer["price_kind"][0]) & (pl.col("basis") == answer["basis"][0])
        found = split_in(known.filter(same), answer, after)
        if found is None:
            return None
        now = self._clock.now()
        zone = zone_of(contract)
        ex_date, latest = (
            (_EPOCH + timedelta(microseconds=moment)).astimezone(zone).date()
            for moment in (found.first_us, found.last_us)
        )
        unsure = f"; it may have been any day until {latest}" if latest > ex_date else ""
        in_effect = effective(contract, ex_date)
        last = _EPOCH + timedelta(microseconds=int(answer["end_us"][-1]))
        seen = _EPOCH + timedelta(microseconds=int(answer["ingest_us"][-1]))
        return Split(
            event_time=in_effect,
            ingest_time=now,
            contract_id=contract.contract_id,
            symbol=contract.symbol,
            ex_date=ex_date,
            origin=ActionOrigin.DETECTED,
            by=_NAME,
            note=f"{found.bars} bars before it have changed by this ratio{unsure}",
            new_shares=found.new_shares,
            old_shares=found.old_shares,
            # a gateway in a market time of its own: our clock says nothing about when its answers began to differ
            answers_since=None if abs(seen - last) < _CLOCKS_AGREE else seen,
        )
