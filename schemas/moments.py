"""Moments as whole microseconds since 1970 UTC, as columns keep them."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970 of an aware `moment`, exact."""
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(microseconds: int) -> datetime:
    """The moment in UTC, `microseconds` after 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)
