"""Time as this process has lived it: somebody else's silence counts only while we could have heard him."""

from collections.abc import Callable


class Attention:
    """Seconds that count. Of a gap between two looks, as when we were stopped or stalled, no more than `gap_max` do."""

    def __init__(self, monotonic: Callable[[], float], gap_max: float) -> None:
        self._monotonic = monotonic
        self._gap_max = gap_max
        self._looked_at = monotonic()
        self._seconds = 0.0

    def look(self) -> float:
        """The seconds so far; call it more often than every `gap_max`."""
        now = self._monotonic()
        self._seconds += min(now - self._looked_at, self._gap_max)
        self._looked_at = now
        return self._seconds
