"""Which alerts are open: what was told is told again only after a while, what mends itself at once is never told."""

from dataclasses import dataclass, replace

from infra.alerts import Alert, Severity

_OPEN_MAX = 1000


@dataclass
class _Open:
    alert: Alert
    due: float
    expires: float
    """When it is forgotten unless it is reported again."""
    reports: int = 1
    """Since it was told last."""
    told_at: float | None = None
    told_severity: Severity = Severity.INFO


class Book:
    """Open alerts by key; moments are monotonic seconds, handed in."""

    def __init__(self, repeat_seconds: float) -> None:
        self._repeat = repeat_seconds
        self._open: dict[str, _Open] = {}

    def report(self, alert: Alert, now: float, *, after: float = 0.0, mends: bool = False) -> None:
        """It is so. Told when it is still so `after` seconds; one that nobody `mends` ends by itself."""
        expires = float("inf") if mends else now + max(after, self._repeat)
        held = self._open.get(alert.key)
        if held is None:
            if len(self._open) < _OPEN_MAX:
                self._open[alert.key] = _Open(alert, now + after, expires)
            return
        held.alert, held.expires, held.reports = alert, expires, held.reports + 1

    def mend(self, key: str) -> Alert | None:
        """It is over: the news of it, when anybody was told before."""
        held = self._open.pop(key, None)
        if held is None or held.told_at is None:
            return None
        return replace(held.alert, title=f"resolved: {held.alert.title}", resolved=True)

    def due(self, now: float) -> list[Alert]:
        """What is to be told now."""
        self._open = {key: held for key, held in self._open.items() if now < held.expires or held.told_at is None}
        found = []
        for held in self._open.values():
            if now < held.due or not self._is_news(held, now):
                continue
            times = f" ({held.reports} times)" if held.reports > 1 and held.expires != float("inf") else ""
            found.append(replace(held.alert, title=held.alert.title + times))
            held.told_at, held.told_severity, held.reports = now, held.alert.severity, 0
        return found

    def _is_news(self, held: _Open, now: float) -> bool:
        if held.told_at is None or held.alert.severity.rank > held.told_severity.rank:
            return True
        return held.reports > 0 and now - held.told_at >= self._repeat

    @property
    def open(self) -> dict[Severity, int]:
        """How many are open that people were told of, by severity."""
        found = dict.fromkeys(Severity, 0)
        for held in self._open.values():
            found[held.alert.severity] += held.told_at is not None
        return found
