"""The gateway's time: market time, also where a simulator lives in another year."""

from datetime import UTC, datetime, timedelta

from infra.clock import Clock


class MarketClock:
    """The time that the gateway last told, carried on by our own clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: tuple[datetime, float] | None = None

    def heard(self, epoch: int, *_: object) -> None:
        """The gateway has told its time."""
        self._told = datetime.fromtimestamp(epoch, UTC), self._clock.monotonic()

    def now(self) -> datetime | None:
        """None before the gateway has told it."""
        if self._told is None:
            return None
        told, heard_at = self._told
        return told + timedelta(seconds=self._clock.monotonic() - heard_at)
