"""Whether an exchange trades at a moment."""

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
