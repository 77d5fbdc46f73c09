"""What a strategy is: parameters, declared indicators, and a decision that sees only the past."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.facts import Bar, CorporateAction, DataGap, Fill, Session, Tick
from engine.indicators import Indicator
from engine.order_entry import OrderEntry
from engine.order_requests import OrderNews, OrderRequest
from engine.slots import HISTORY_MAX, Slot, Value, frame_us, inputs_of

__all__ = [
    "HISTORY_MAX",
    "BaseStrategy",
    "Decision",
    "ParameterError",
    "Position",
    "Positions",
    "Slot",
    "StrategyConfig",
    "StrategySignal",
    "Value",
    "nearest",
    "several",
]

if TYPE_CHECKING:
    from engine.column_path.orders import Orders
    from engine.column_path.shown import Shown
    from engine.columns import Floats
    from engine.crossing_rule import CrossingRule


class ParameterError(ValueError):
    """A strategy's parameter is unknown or wrong: one line that says which and why."""


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the known word most like `word`, or nothing when none is."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {match[0]}?)" if match else ""


def searched(default: Any, search: str, **bounds: Any) -> Any:
    """A parameter with the values worth searching: `fast: int = searched(10, "5:50:5", ge=1, le=5000)`.

    `search` is `low:high:step`, `low:high` or values by commas, as `scizor optimize --param` takes them; `bounds` are
    pydantic's.
    """
    return Field(default, json_schema_extra={"search": search}, **bounds)


class StrategyConfig(BaseModel):
    """A strategy's parameters: frozen, typed, and none beside those declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_parameters(cls, given: Any) -> Any:
        known = cls.model_fields
        for name in given if isinstance(given, Mapping) else ():
            if name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                raise ValueError(f"unknown parameter {name}{nearest(str(name), known)}: {takes}")
        return given

    @classmethod
    def parse(cls, parameters: Mapping[str, Any]) -> Self:
        """The config with these parameters (text is converted), defaults for the rest.

        Raises ParameterError, one line, for an unknown or wrong parameter.
        """
        try:
            return cls.model_validate(dict(parameters))
        except ValidationError as failure:
            raise ParameterError("; ".join(_in_words(error) for error in failure.errors())) from None

    @classmethod
    def ranges(cls) -> dict[str, str]:
        """What is worth searching, by parameter: `{"fast": "5:50:5"}`."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return {
            name: str(extra["search"])
            for name, extra in extras.items()
            if isinstance(extra, dict) and "search" in extra
        }


def _in_words(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    where = ".".join(str(part) for part in error["loc"])
    return f"parameter {where}={error['input']!r}: {message[:1].lower()}{message[1:]}" if where else message


class StrategySignal(msgspec.Struct, frozen=True, gc=False):
    """What a strategy wants to hold of `contract_id`: `target` from -1 (full short) through 0 (flat) to 1 (full long).

    Seen as a direction with strength: `direction` is the sign of the target, `strength` its size.
    Raises ValueError for a target outside [-1, 1] or not a number.
    """

    contract_id: int
    value: float
    reason: str = ""

    def __post_init__(self) -> None:
        if not -1.0 <= self.value <= 1.0:
            raise ValueError(f"a target lies in [-1, 1], not at {self.value}")

    @classmethod
    def target(cls, contract_id: int, value: float, reason: str = "") -> Self:
        """Hold `value` of the full position."""
        return cls(contract_id, value, reason)

    @classmethod
    def long(cls, contract_id: int, strength: float = 1.0, reason: str = "") -> Self:
        """Be long with `strength` in [0, 1]."""
        if strength < 0.0:
            raise ValueError(f"a strength lies in [0, 1], not at {strength}")
        return cls(contract_id, strength, reason)

    @classmethod
    def short(cls, contract_id: int, strength: float = 1.0, reason: str = "") -> Self:
        """Be short with `strength` in [0, 1]."""
        if strength < 0.0:
            raise ValueError(f"a strength lies in [0, 1], not at {strength}")
        return cls(contract_id, -strength, reason)

    @classmethod
    def flat(cls, contract_id: int, reason: str = "") -> Self:
        """Hold nothing."""
        return cls(contract_id, 0.0, reason)

    @property
    def direction(self) -> int:
        """+1 long, -1 short, 0 flat."""
        return (self.value > 0) - (self.value < 0)

    @property
    def strength(self) -> float:
        """How much of the full position, 0 to 1."""
        return abs(self.value)


class Position:
    """What the strategy holds of a contract: signed `quantity`, and the `average_price` it was opened at."""

    __slots__ = ("average_price", "quantity")

    def __init__(self, quantity: float = 0.0, average_price: float = 0.0) -> None:
        self.quantity = quantity
        self.average_price = average_price

    def add(self, quantity: float, price: float) -> None:
        """Fold one fill in: adding moves the average, reducing leaves it, passing zero begins anew at `price`."""
        before, after = self.quantity, self.quantity + quantity
        if before == 0:
            self.average_price = price
        elif after == 0:
            self.average_price = 0.0
        elif before * quantity >= 0:
            self.average_price = (before * self.average_price + quantity * price) / after
        elif before * after < 0:
            self.average_price = price
        self.quantity = after


class Positions(dict[int, Position]):
    """Positions by contract id; one never traded is flat."""

    def __missing__(self, contract_id: int) -> Position:
        return self.setdefault(contract_id, Position())


Decision = StrategySignal | OrderRequest | Sequence[StrategySignal | OrderRequest] | None
"""What a handler may answer: a target, an order, several of them, or nothing."""


def several(decision: Any) -> Sequence[Any]:
    """A decision of several parts. Raises TypeError, with what a handler may answer, for anything else."""
    if isinstance(decision, Sequence) and not isinstance(decision, str):
        return decision
    wanted = "a StrategySignal, an OrderRequest, a list of them, or None"
    raise TypeError(f"a handler answers {wanted}, not {decision!r:.60}")


class BaseStrategy(OrderEntry):
    """A strategy: subclass it, declare indicators, decide in `on_bar` by a target, or by orders (`OrderEntry`).

    It cannot know whether it runs live or in a backtest. One instance serves all its contracts: in `on_bar`, slots and
    `position` are those of the bar's contract, `positions[contract_id]` those of any; what else it keeps between bars
    it keeps by contract. `on_bar` is first called, for each contract, on the bar at which all indicators have a value.
    """

    class Config(StrategyConfig):
        """The parameters; a strategy declares its own class of this name."""

    config: StrategyConfig
    rule: ClassVar["CrossingRule | None"] = None
    """The decision as a value, of a strategy that is one crossing: then a sweep runs it compiled."""
    columns: ClassVar[tuple[str, ...]] = ("open", "high", "low", "close", "volume")

    def __init__(self, config: StrategyConfig | None = None) -> None:
        self.config = self.Config() if config is None else config
        self.position = Position()
        self.positions = Positions()
        self.slots: list[Slot] = []  # in an order in which each comes after its inputs
        self.indicators()

    def declare(self, indicator: Indicator, *arguments: Any, frame: str | timedelta | None = None) -> Slot:
        """Have `indicator` computed on every bar; returns the slot that shows its value.

        Its inputs come first: the name of a column, a number, a slot, or a tuple `(indicator, *arguments)` for a value
        that nobody else looks at. Then its parameters. With a `frame` ("1 hour", "5m", a timedelta) it is computed on
        larger bars, on multiples of that size since 1970 UTC, each seen once it has closed; an indicator of the bars
        themselves may take it as an input. Raises ValueError for what is no indicator, column or frame.
        """
        return self._declare(indicator, arguments, frame_us(frame), shown=True)

    def _declare(self, indicator: Indicator, arguments: tuple[Any, ...], frame: int, *, shown: bool) -> Slot:
        for place, given in enumerate(arguments[: inputs_of(indicator)]):
            if isinstance(given, tuple):
                slot = self._declare(given[0], given[1:], frame, shown=False)
                arguments = (*arguments[:place], slot, *arguments[place + 1 :])
            elif isinstance(given, str) and given not in self.columns:
                raise ValueError(f"no column {given}{nearest(given, self.columns)}")
        slot = Slot(indicator, arguments, shown=shown, frame=frame)
        self.slots.append(slot)
        return slot

    @property
    def warmup(self) -> int:
        """Bars of a contract until `on_bar` is first called, larger frames aside: the most that an indicator needs."""
        return max([slot.ready for slot in self.slots if not slot.frame], default=1)

    @property
    def settled(self) -> int:
        """Bars of a contract to replay before trading live, so that recursive indicators forgot where they began."""
        return max((slot.settled for slot in self.slots if not slot.frame), default=1)

    @property
    def frames(self) -> dict[int, int]:
        """By size of a larger frame (microseconds), how many of its bars must have closed before `on_bar` is called."""
        ready: dict[int, int] = {}
        for slot in self.slots:
            if slot.frame:
                ready[slot.frame] = max(slot.ready, ready.get(slot.frame, 0))
        return ready

    def indicators(self) -> None:
        """Declare what `on_bar` looks at."""

    def on_start(self) -> None:
        """Called once, before the first bar."""

    def on_bar(self, bar: Bar) -> Decision:
        """Decide on a closed bar. None: no change."""
        return None

    def targets(self, columns: "Shown") -> "Floats | Orders":
        """What `on_bar` answers, for all bars at once: targets in [-1, 1], NaN for no change; shape `(bars,)`.

        For strategies whose decisions follow from declared indicators and prices alone. `columns[self.fast]` is the
        column of a slot, `columns.close` one of the bars. With it a strategy runs by columns too
        (`engine.column_path`), which a sweep does thousands of times a second. One that calls `self.aim` with prices
        answers `Orders`.
        """
        raise NotImplementedError(f"{type(self).__name__} decides bar by bar")

    def on_tick(self, tick: Tick) -> Decision:
        """Decide on a trade print, live, where the deployment asks for ticks. None: no change."""
        return None

    def on_fill(self, fill: Fill) -> None:
        """Hear of an execution of one's own, `positions` already changed. Orders given here work from the next bar."""

    def on_order(self, news: OrderNews) -> None:
        """Hear what became of an order of one's own: filled, in part or whole, canceled, expired or denied."""

    def on_timer(self, name: str, time: datetime) -> Decision:
        """A moment asked for with `timer` has come: all bars that end by then are done."""
        return None

    def on_session_open(self, session: Session) -> Decision:
        """A session begins. Orders given here take part in its first open; live, where only a bar can show that it has
        begun, they work from the next live bar on."""
        return None

    def on_session_close(self, session: Session) -> Decision:
        """A session's last bar is done; told before all else that belongs to the next one."""
        return None

    def on_corporate_action(self, action: CorporateAction) -> None:
        """A split or a dividend of a contract, positions and working orders already changed."""

    def on_data_gap(self, gap: DataGap) -> None:
        """Bars of a contract are missing within a session; called before the first bar after them."""
