"""Whether an exchange trades at a moment, and when it does again."""

from datetime import datetime

from infra.calendars.calendar import UnknownExchangeError, calendar_of


def in_session(exchange: str, moment: datetime) -> bool | None:
    """None for an exchange without a calendar, and on days of which nobody knows whether they are holidays."""
    try:
        calendar = calendar_of(exchange)
    except UnknownExchangeError:
        return None
    if not calendar.is_known(moment.astimezone(calendar.zone).date()):
        return None
    return calendar.latest(moment).holds(moment)


def opens_at(exchange: str, moment: datetime) -> datetime | None:
    """When an exchange that is closed at the moment opens next; None while it trades, and where nobody knows."""
    if in_session(exchange, moment) is not False:
        return None
    return calendar_of(exchange).following(moment).open
