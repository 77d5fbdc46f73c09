"""Historical bars that are kept up to date: the last one again every five market seconds, until it is full."""

from dataclasses import dataclass

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.history.past_bars import Dates
from infra.gateway_simulator.instruments.calendar import BAR_SECONDS
from infra.gateway_simulator.instruments.calendar import Session as TradingDay
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.live.feed import Feed
from infra.gateway_simulator.market.bars import DAY, Candle, Span, View
from infra.gateway_simulator.market.intraday import DayPath
from infra.gateway_simulator.protocol.session import Session


@dataclass(eq=False, slots=True)
class Chart:
    """One request that is kept up to date."""

    session: Session
    request_id: int
    instrument: Instrument
    size: int
    what: str
    dates: Dates
    regular: bool = True  # hours alone

    def tell(self, candle: Candle) -> None:
        """Message 90, whose fields have an order of their own."""
        self.session.send(
            *(90, self.request_id, candle.count, self.dates.of(candle), candle.open, candle.close),
            *(candle.high, candle.low, candle.average, candle.volume),
            event="historical update sent",
            symbol=self.instrument.symbol,
        )


class Charts:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def _feed(self) -> Feed:
        return self._shared.charts

    def add(self, chart: Chart, told_until: int, told_at: float) -> None:
        """Keep a chart up to date from now on, and tell what has happened since its bars were made."""
        self._shared.follow(chart.instrument)
        self._feed.add(chart)
        now = self._shared.now()
        if int(now // BAR_SECONDS) > int(told_at // BAR_SECONDS):
            span = Span(told_until, now, chart.size, chart.what, now, chart.regular)
            for portion in self._shared.world.history.candles(chart.instrument, span):
                for each in portion:
                    chart.tell(each)

    def remove(self, session: Session, request_id: int) -> None:
        self._feed.remove(session, request_id)
        self._shared.refollow()

    def remove_session(self, session: Session) -> None:
        self._feed.remove_session(session)
        self._shared.refollow()

    def clear(self) -> list[tuple[Session, int]]:
        """Forget all; whose they were."""
        lost = [(each.session, each.request_id) for each in self._feed.clear()]
        self._shared.refollow()
        return lost

    def on_bar(self, instrument: Instrument, session: TradingDay, bar: int) -> None:
        charts = self._feed.of(instrument, Chart)
        if session.is_extended:
            self._tell([each for each in charts if not each.regular], session, bar)
            charts = [each for each in charts if each.regular] if session.is_regular(bar) else []
            bar, session = bar - session.before, instrument.calendar.session(session.day)
        self._tell(charts, session, bar)

    def _tell(self, charts: list[Chart], session: TradingDay, bar: int) -> None:
        """All of one instrument, and of the same hours."""
        path = self._shared.world.path(charts[0].instrument, session) if charts else None
        if path is None:
            return
        made: dict[tuple[int, str], Candle] = {}
        for chart in charts:
            key = (chart.size, chart.what)
            if key not in made:
                made[key] = self._last(chart, session, path, bar + 1)
            chart.tell(made[key])

    def _last(self, chart: Chart, session: TradingDay, path: DayPath, complete: int) -> Candle:
        """The chart's bar as it is after `complete` five-second bars of the session."""
        if chart.size > DAY:
            moment = float(session.open + complete * BAR_SECONDS)
            span = Span(session.open - 2 * chart.size, moment, chart.size, chart.what, moment, chart.regular)
            return [each for portion in self._shared.world.history.candles(chart.instrument, span) for each in portion][
                -1
            ]
        begins = 0
        if chart.size < DAY:
            clock = session.open_second + (complete - 1) * BAR_SECONDS
            begins = max(0, (clock // chart.size * chart.size - session.open_second) // BAR_SECONDS)
        view: View = self._shared.world.view(chart.instrument, session.day, chart.what)
        bars = slice(begins, complete)
        prices = (path.open[begins], path.high[bars].max(), path.low[bars].min(), path.close[complete - 1])
        traded = (path.volume[bars].sum(), path.money[bars].sum(), path.count[bars].sum())
        opened, high, low, close = (int(each) for each in prices)
        volume, money, count = (int(each) for each in traded)
        start = session.open + begins * BAR_SECONDS
        return view.candle(start, session.day, (opened, high, low, close), (volume, money, count))
