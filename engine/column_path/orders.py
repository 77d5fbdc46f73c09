"""Orders by columns: targets that are reached by limit or stop orders, with protection, as `self.aim` gives them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.columns import Floats
from engine.order_requests import OrderKind


@dataclass(frozen=True, eq=False)
class Orders:
    """What `BaseStrategy.aim` would be told at each bar; columns of shape `(bars,)`, NaN for none.

    `kind` is LMT or STP and `price` where such orders stand; where `price` is NaN, a market order goes. `stop`,
    `take_profit` and `trail` protect what a target enters.
    """

    targets: Floats
    kind: str = OrderKind.LIMIT
    price: Floats | None = None
    stop: Floats | None = None
    take_profit: Floats | None = None
    trail: Floats | None = None

    @property
    def levels(self) -> Iterable[tuple[str, Floats | None]]:
        """The columns beside the targets, by name."""
        return tuple((name, getattr(self, name)) for name in ("price", "stop", "take_profit", "trail"))

    @property
    def rests(self) -> bool:
        """Whether there are limit orders among them."""
        return self.take_profit is not None or (self.price is not None and self.kind == OrderKind.LIMIT)

    def trouble(self, bars: int) -> str:
        """Why these cannot be orders of so many bars; empty when they can. The targets are looked at elsewhere."""
        if self.kind not in (OrderKind.LIMIT, OrderKind.STOP):
            return f"columns know LMT and STP entries, and MKT where no price is given, not {self.kind}"
        for name, column in self.levels:
            if column is None:
                continue
            if np.shape(column) != (bars,):
                return f"{name} has shape {np.shape(column)}, not one price a bar"
            if np.isinf(column).any():
                return f"{name} is infinite in bar {int(np.argmax(np.isinf(column)))}"
        if self.trail is not None and (np.asarray(self.trail) <= 0).any():
            return "trail must be above zero"
        if self.stop is not None and self.trail is not None and (~np.isnan(self.stop) & ~np.isnan(self.trail)).any():
            return "a position is protected by a stop or by a trail, not by both"
        return ""
