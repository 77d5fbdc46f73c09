"""When a day's trading ends, as a live strategy is told when it begins."""

from datetime import UTC, datetime, time, timedelta

from infra.gateway.hours import sessions
from schemas.moments import to_datetime, to_microseconds
from schemas.validation import Contract


def session_close(contract: Contract, moment_us: int) -> int:
    """When the contract's trading ends on the UTC day of a moment, in microseconds, by its exchange's calendar.

    It is over when the day is, where trading goes on through midnight, or the calendar knows of none.
    """
    moment = to_datetime(moment_us)
    midnight = datetime.combine(moment.date() + timedelta(days=1), time(), UTC)
    return to_microseconds(max((close for _, close in sessions(contract, moment, midnight)), default=midnight))
