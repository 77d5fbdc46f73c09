"""Market data that are told fifteen minutes late: what waits, and when its time has come."""

from dataclasses import replace

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.history.past_ticks import PastTicks
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.live.market_data import MarketData, News
from infra.gateway_simulator.live.permissions import DELAY_SECONDS

AN_INSTANT = 0.0005  # seconds


class Delayed:
    def __init__(self, shared: Shared, past: PastTicks) -> None:
        self._shared = shared
        self._past = past

    def news(self, instrument: Instrument, moment: float) -> News | None:
        """The last trade by a moment of the past."""
        quote = next(self._past.before(instrument, moment + AN_INSTANT), None)
        return News(quote, self._shared.world.counted(instrument, moment)) if quote is not None else None

    def wait(self, data: MarketData, begin: float, now: float) -> None:
        """What has happened since `begin` is told when its time comes, with the day as it was each time."""
        instrument = data.instrument
        day = self._shared.world.counted(instrument, begin)
        for quote in self._past.after(instrument, begin + AN_INSTANT, now):
            if instrument.hours.latest(quote.moment).day != day.day:
                day = self._shared.world.counted(instrument, quote.moment - AN_INSTANT)
            day.take(quote.last, quote.last_size)
            data.waiting.append(News(quote, replace(day)))
        if not instrument.hours.is_open_at(now):
            self.go_on(data)

    def release(self, data: MarketData, now: float) -> None:
        """Tell what is fifteen minutes old."""
        while data.waiting and data.waiting[0].quote.moment <= now - DELAY_SECONDS:
            news = data.waiting.popleft()
            data.take(news)
            data.tell(news)

    def go_on(self, data: MarketData) -> None:
        """The market is closed, and plays no more bars: what waits comes by the clock."""
        if data.waiting:
            due = data.waiting[0].quote.moment + DELAY_SECONDS
            self._shared.timetable.at(due, lambda: self._come(data, due))

    def _come(self, data: MarketData, due: float) -> None:
        if self._shared.feed.find(data.session, data.request_id) is data:
            self.release(data, due)
            self.go_on(data)
