"""How long the rest of a run will take, judged by what was done of it so far."""

from infra.clock import Clock

_SECONDS_MIN = 0.5
"""Before that, nobody can say."""


class Pace:
    """The rate of one run, counted from where it was first looked at."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun: tuple[float, int] | None = None

    def eta_seconds(self, done: int, total: int) -> float | None:
        """Seconds until `total` at the rate since the first look; None while that is unknown."""
        now = self._clock.monotonic()
        if self._begun is None:
            self._begun = (now, done)
        began, first = self._begun
        if now - began < _SECONDS_MIN or done <= first:
            return None
        return round((total - done) * (now - began) / (done - first), 1)
