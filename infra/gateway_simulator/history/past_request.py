"""A request for historical bars: what came, whether IB would take it, and the span that it means.

Bar sizes and the longest durations are those of IB's documentation (TWS API, "Max Duration Per Bar Size").
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.gateway_simulator.floor import NOT_SUPPORTED
from infra.gateway_simulator.instruments.calendar import NEW_YORK
from infra.gateway_simulator.instruments.contracts import Asked
from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.market.bars import ADJUSTED_LAST, BAR_SIZES, QUOTED, TRADES, Duration
from infra.gateway_simulator.protocol.wire import Fields

SERVICE = "Historical Market Data Service error message:"
SCHEDULE, VOLATILITY, AGGREGATED = "SCHEDULE", "HISTORICAL_VOLATILITY", "AGGTRADES"
IMPLIED = "OPTION_IMPLIED_VOLATILITY"
VOLATILITIES = (VOLATILITY, IMPLIED)
KINDS = (TRADES, ADJUSTED_LAST, AGGREGATED, *QUOTED)
KEPT_KINDS = (TRADES, AGGREGATED, "MIDPOINT", "BID", "ASK")  # of bars that are kept up to date
TRADED = (TRADES, ADJUSTED_LAST, AGGREGATED)
EPOCH_FORMAT = 2

SIZES = {"1 secs": 1, **BAR_SIZES}
SECOND_BARS_MAX = 2000  # seconds of one-second bars in one request
KEPT_SIZE_MIN = 5
SMALL_BARS_DAYS = 183  # bars of 30 seconds or less are kept for half a year
LONGEST = {"S": (86_400, "seconds", "days"), "D": (365, "days", "years"), "W": (52, "weeks", "years")}
LONGEST |= {"M": (12, "months", "years"), "Y": (68, "years", "years")}


class RequestError(Exception):
    """The request is answered by an error of this code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Request:
    """One request for historical bars, as it came."""

    request_id: int
    asked: Asked
    with_expired: bool
    end: str
    bar_size: str
    duration: str
    regular_hours: bool
    what: str
    epoch_dates: bool
    stays: bool

    @classmethod
    def taken_from(cls, fields: Fields) -> "Request":
        request_id = fields.whole()
        asked = Asked.taken_from(fields)
        with_expired, end, bar_size, duration = fields.flag(), fields.text(), fields.text(), fields.text()
        regular_hours, what, date_format = fields.flag(), fields.text().upper(), fields.whole()
        if asked.security_type == "BAG":
            fields.skip(4 * fields.whole())  # legs
        stays = fields.flag()
        dates = date_format == EPOCH_FORMAT
        return cls(request_id, asked, with_expired, end, bar_size, duration, regular_hours, what, dates, stays)

    @property
    def size(self) -> int:
        """Seconds of a bar."""
        size = SIZES.get(self.bar_size)
        if size is None:
            legal = ", ".join(each for each in SIZES if each not in ("1 week", "1 month"))
            raise invalid_request(f"Historical data bar size setting is invalid. Legal ones are: {legal}")
        return size

    def checked(self) -> tuple[int, Duration]:
        """Bar size and duration, once IB would take the combination."""
        size = self.size
        if self.what not in (*KINDS, *VOLATILITIES):
            raise invalid_request(f"What to show {self.what[:40]!r} {NOT_SUPPORTED}")
        if self.what == ADJUSTED_LAST and self.end:
            raise invalid_request("End date not supported with adjusted last")
        if self.stays:
            self._check_kept(size)
        return size, _duration(self.duration, size)

    def _check_kept(self, size: int) -> None:
        if self.end:
            raise invalid_request("End date not supported with keepUpToDate")
        if size < KEPT_SIZE_MIN or self.what not in KEPT_KINDS:
            kinds = ", ".join(KEPT_KINDS)
            raise invalid_request(f"keepUpToDate needs bars of 5 seconds or more, of one of {kinds}")


def _duration(text: str, size: int) -> Duration:
    duration = duration_of(text)
    longest, units, better = LONGEST[duration.unit]
    if duration.count > longest:
        raise invalid_request(
            f"Historical data requests for durations longer than {longest} {units} must be made in {better}."
        )
    if size == 1 and duration.unit == "S" and duration.count > SECOND_BARS_MAX:
        raise RequestError(162, f"{SERVICE}Time length exceed max.")
    if (size == 1 and duration.unit != "S") or (duration.unit == "S" and duration.count < size):
        raise RequestError(162, f"{SERVICE}invalid step: {size}")
    return duration


def shown(instrument: Instrument, asked: Asked, what: str) -> str:
    """The kind of bars or ticks that `what` stands for, once the instrument has them."""
    if instrument.kind is Kind.CRYPTO and what == TRADES:
        raise RequestError(10299, "Expected what to show is AGGTRADES, please use that instead of TRADES.")
    has_trades = instrument.has_trades and (what != AGGREGATED or instrument.kind is Kind.CRYPTO)
    if (what in TRADED and not has_trades) or (what in QUOTED and instrument.kind is Kind.INDEX):
        raise no_data(asked, what)
    return TRADES if what == AGGREGATED else what


def duration_of(text: str) -> Duration:
    try:
        return Duration(text)
    except ValueError as error:
        raise invalid_request(str(error)) from None


def moment_of(text: str, now: float) -> float:
    """The epoch second that IB's end date and time means; empty is now."""
    if not text:
        return now
    stamp, _, zone = text.replace("  ", " ").strip().partition(" ")
    clock, _, zone_after = zone.partition(" ")
    if "-" in stamp:  # 20231006-20:00:00 is UTC
        stamp, _, clock = stamp.partition("-")
        zone_after = zone or "UTC"
    with contextlib.suppress(ValueError, OverflowError, ZoneInfoNotFoundError):
        where = UTC if zone_after in ("UTC", "GMT") else ZoneInfo(zone_after) if zone_after else NEW_YORK
        return datetime.strptime(f"{stamp} {clock or '23:59:59'}", "%Y%m%d %H:%M:%S").replace(tzinfo=where).timestamp()
    form = "The correct format is yyyymmdd hh:mm:ss xx/xxxx"
    raise RequestError(10314, f"End Date/Time: The date, time, or time-zone entered is invalid. {form}")


def invalid_request(cause: str) -> RequestError:
    return RequestError(321, f"Error validating request.-'sm' : cause - {cause}")


def no_data(asked: Asked, what: str) -> RequestError:
    return RequestError(162, f"{SERVICE}HMDS query returned no data: {asked.name} {what.title()}")


def utc_dashed(moment: float) -> str:
    """20231006-20:00:00, which is UTC."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y%m%d-%H:%M:%S}"
