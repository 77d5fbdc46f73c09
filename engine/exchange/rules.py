"""By which rules an exchange fills, each by name."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from engine.strategy import nearest

FILLS = ("next_open", "same_close", "worst_of_bar", "volume_participation")
"""Where market orders trade. `next_open`: at the next bar's open. `same_close`: at the very close they were decided on.
`worst_of_bar`: at the next bar's high for a buy, its low for a sale. `volume_participation`: at the next open, every
order no more than a share of each bar's volume, the rest carried to the bars after."""

LIMIT_FILLS = ("through", "touch", "queue")
"""When a resting limit order trades. `through`: the market got better than its price. `touch`: it got there. `queue`:
better, or there with more volume than stood in the queue before it."""

BOTH_REACHED = ("stop_first", "target_first", "nearest_first")
"""Which of several orders a bar reached counts first: those whose price got worse, those whose price got better, or
those on the side of the open that is nearer."""

ACCOUNTS = ("unlimited", "cash", "margin")
"""What an order must be carried by: nothing, the cash there is (and no short sale), or the equity over its margin."""


class RuleError(ValueError):
    """A rule of the exchange that does not exist or cannot be: one line that says which."""


@dataclass(frozen=True)
class Rules:
    """How orders fill. `participation` is a share of a bar's volume, `queue_share` one of the volume of the bar at
    which a limit order was placed; latency passes before an order, a change or a cancel holds. Interest and borrowing
    are per cent a year, margins fractions of the positions' value.
    """

    fill: str = "next_open"
    limit_fill: str = "through"
    both_reached: str = "stop_first"
    participation: float = 0.1
    queue_share: float = 1.0
    latency_bars: int = 0
    latency_seconds: float = 0.0
    account: str = "unlimited"
    initial_margin: float = 0.5
    maintenance_margin: float = 0.25
    financing_percent: float = 0.0
    borrow_percent: float = 0.0
    lot: float = 1.0

    def __post_init__(self) -> None:
        self._named("fill model", self.fill, FILLS)
        self._named("limit fill", self.limit_fill, LIMIT_FILLS)
        self._named("rule for both reached", self.both_reached, BOTH_REACHED)
        self._named("account", self.account, ACCOUNTS)
        for name in ("participation", "initial_margin", "maintenance_margin"):
            if not 0 < getattr(self, name) <= 1:
                raise RuleError(f"{name} lies above 0 and is 1 at most, not {getattr(self, name):g}")
        for name in ("queue_share", "latency_bars", "latency_seconds", "financing_percent", "borrow_percent"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RuleError(f"{name} must be zero or more, not {getattr(self, name)}")

    def _named(self, what: str, name: str, known: Iterable[str]) -> None:
        if name not in known:
            raise RuleError(f"no {what} {name}{nearest(name, known)}: {', '.join(known)}")

    @property
    def plain(self) -> bool:
        """Whether a market order fills whole at the next open, whatever it costs."""
        return self.fill == "next_open" and self.account == "unlimited" and not self.delayed

    @property
    def delayed(self) -> bool:
        return bool(self.latency_bars or self.latency_seconds)

    @property
    def latency_us(self) -> int:
        return round(self.latency_seconds * 1_000_000)

    def capacity(self, volume: float) -> float:
        """How much may trade in a bar of `volume`."""
        if self.fill != "volume_participation":
            return math.inf
        return math.floor(volume * self.participation / self.lot + 1e-9) * self.lot
