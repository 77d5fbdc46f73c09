"""What is broken at the gateway at the moment, and what that means for a request or an answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from infra.gateway_simulator.faults.farms import DEFINITIONS, HISTORY, KIND_OF
from infra.gateway_simulator.protocol.names import CANCEL_ORDER, CURRENT_TIME, ERROR, GLOBAL_CANCEL, PLACE_ORDER
from infra.gateway_simulator.protocol.wire import Value

EVERYTHING = "*"
ABOUT_ORDERS = frozenset({PLACE_ORDER, CANCEL_ORDER, GLOBAL_CANCEL})
_ABOUT_HISTORY = frozenset({20, 87, 88, 96})
_ABOUT_CONTRACTS = frozenset({9, 78})
# What the gateway knows by itself, or need not ask IB's servers for; its answers; errors that only IB can have sent.
_LOCAL = frozenset({2, 8, 11, 14, 15, 17, 25, 49, 51, 59, 63, 64, 75, 77, 89, 90, 93, 95, 98})
_LOCAL_ANSWERS = frozenset({9, 15, CURRENT_TIME})
_PUSHED_ERRORS = frozenset({"201", "202", "399", "404"})
TICKS = frozenset({1, 2, 12, 13, 21, 45, 46, 50, 90, 99})


class Verdict(Enum):
    """What becomes of a request."""

    SERVED = auto()
    HELD = auto()
    LOST = auto()
    HISTORY_FAILS = auto()
    NO_DEFINITION = auto()


@dataclass(slots=True)
class Weather:
    """Empty when all is well; `calm` is what the many messages of a good day ask."""

    link_down: bool = False
    orders_lost: bool = False
    broken: dict[str, str] = field(default_factory=dict)
    """Farm, and what requests for history do meanwhile: fail or hang."""
    frozen: set[str] = field(default_factory=set)
    """Symbols, or `EVERYTHING`."""
    skew: float = 0.0
    occupied: dict[int, float] = field(default_factory=dict)
    """Client ids that count as in use, until a moment of the monotonic clock."""
    deaf: bool = False
    fragment: int = 0
    calm: bool = True

    def changed(self) -> None:
        """Call after every change."""
        self.calm = not (self.link_down or self.broken or self.frozen or self.skew)

    def verdict(self, message: int) -> Verdict:
        if self.link_down and message not in _LOCAL:
            return Verdict.LOST if self.orders_lost and message in ABOUT_ORDERS else Verdict.HELD
        history = self._broken(HISTORY) if message in _ABOUT_HISTORY else None
        if history is not None:
            return Verdict.HELD if history == "hang" else Verdict.HISTORY_FAILS
        if message in _ABOUT_CONTRACTS and self._broken(DEFINITIONS) is not None:
            return Verdict.NO_DEFINITION
        return Verdict.SERVED

    def _broken(self, kind: str) -> str | None:
        return next((how for farm, how in self.broken.items() if KIND_OF[farm] == kind), None)

    def keeps_back(self, values: Sequence[Value], symbol: str, farm: str) -> bool:
        """Whether a message does not reach its client: ticks of a broken farm; without a link, whatever IB sends."""
        message = values[0]
        if self.link_down:
            return str(values[3]) in _PUSHED_ERRORS if message == ERROR else message not in _LOCAL_ANSWERS
        if message not in TICKS:
            return False
        return farm in self.broken or symbol in self.frozen or EVERYTHING in self.frozen
