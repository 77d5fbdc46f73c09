"""What a fault can do: to a message, to a process, to the gateway's links, to orders and their executions."""

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.gateway_simulator.faults.farms import states_of

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Interval = Annotated[float, Field(ge=0.001, le=86_400)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
ClientId = Annotated[int, Field(ge=0, le=2_147_483_647)]
Code = Annotated[int, Field(ge=100, le=99_999)]
Symbols = tuple[Annotated[str, Field(min_length=1, max_length=40)], ...]
Signal = Literal["KILL", "STOP", "CONT", "TERM", "SIGKILL", "SIGSTOP", "SIGCONT", "SIGTERM"]
Farm = Literal["usfarm", "usfuture", "usopt", "cashfarm", "hfarm", "ushmds", "secdefil"]
Lie = Literal[
    "impossible", "not_a_number", "negative_volume", "spike", "wrong_zone", "out_of_range", "empty", "duplicates",
    "disorder", "no_permanent_id",
]  # fmt: skip


class Part(BaseModel):
    """A part of a cassette: nothing unknown in it, nothing changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Objection(Part):
    """An error in answer to a request or an order, which is really refused, or `alive` all the same."""

    code: Code
    text: str = Field("", max_length=500)
    order: Literal["refused", "alive"] = "refused"


class Notice(Part):
    """A system message to every client, or to one."""

    code: Code
    text: str = Field("", max_length=500)
    client_id: ClientId | None = None


class Outage(Part):
    """1100: nothing passes between the gateway and IB until `seconds` have gone by, or until `restore`.

    Orders that come meanwhile are `held` until the link is back, or `lost`.
    """

    seconds: Interval | None = None
    restored: Literal[1101, 1102] = 1102
    repeat: Interval | None = None
    orders: Literal["held", "lost"] = "held"
    announced: bool = True
    streams_die: bool = False


class FarmNotice(Part):
    """A farm breaks, sleeps or is well again. While HMDS is broken, requests for history `fail` or `hang`."""

    name: Farm
    state: Literal["broken", "ok", "inactive"]
    seconds: Interval | None = None
    history: Literal["fail", "hang"] = "fail"
    kills_subscriptions: bool = False

    @model_validator(mode="after")
    def _is_told(self) -> Self:
        if self.state not in states_of(self.name):
            raise ValueError(f"{self.name} is told as one of {', '.join(states_of(self.name))}")
        return self


class Restart(Part):
    """All sockets are closed and the port refuses for so long; with a code, that is told before."""

    seconds: Seconds = 5.0
    code: Literal[1100, 1300] | None = None


class Silence(Part):
    """A socket that stays and says nothing; one client's, or everybody's; without `seconds` until it is closed."""

    seconds: Interval | None = None
    client_id: ClientId | None = None


class Deaf(Part):
    """New connections are accepted, and never answered."""

    seconds: Interval


class Occupied(Part):
    """A client id that counts as in use (326); without one, that of the event's client."""

    seconds: Interval
    client_id: ClientId | None = None


class Lasting(Part):
    """Something that lasts; without `seconds` for ever."""

    seconds: Interval | None = None


class Restriction(Lasting):
    """Market data of symbols that the account has not bought: in part, delayed, not through the API, or not at all."""

    symbols: Symbols = Field(min_length=1)
    data: Literal["part", "delayed", "api", "none"]


class Frozen(Lasting):
    """Quotes that no longer change, while nothing says so; without symbols all of them."""

    symbols: Symbols = ()


class Skew(Part):
    """How far the gateway's clock is ahead, as currentTime tells it."""

    seconds: Annotated[float, Field(ge=-86_400, le=86_400)]


class Fragments(Lasting):
    """Everything leaves in segments of so many bytes."""

    bytes: Annotated[int, Field(ge=1, le=65_536)]


class RollBack(Part):
    """The next valid id falls back by so many, as after a reset in the gateway's settings."""

    by: Count
    client_id: ClientId | None = None


class ThrowOut(Part):
    """The exchange or the broker ends the order of the event, with this code: at a status before it can trade."""

    code: Code = 201
    text: str = Field("", max_length=500)


class Correction(Part):
    """The newest execution that fits is told again as the next revision, with another price or quantity."""

    price_by: Annotated[float, Field(ge=-1e6, le=1e6)] = 0.0
    quantity_by: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    symbol: str = ""
    after: Seconds = 0.0

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.price_by and not self.quantity_by:
            raise ValueError("a correction needs price_by or quantity_by")
        return self


class Bust(Part):
    """The newest execution that fits is taken back."""

    symbol: str = ""
    after: Seconds = 0.0


class ExtraFill(Part):
    """One more execution of the newest order that fits: beyond its quantity, or after it was cancelled."""

    quantity: Count
    symbol: str = ""
    after: Seconds = 0.0


class BarBust(Part):
    """Trades behind real-time bars have been taken back: the subscriptions of a symbol end with 10225."""

    symbol: str = Field(min_length=1, max_length=40)


class ManualOrder(Part):
    """An order that a person places in TWS itself, which no client of ours knows."""

    symbol: str = Field(min_length=1, max_length=40)
    side: Literal["BUY", "SELL"] = "BUY"
    quantity: Count = 100
    percent: Annotated[float, Field(ge=-90, le=1000)] | None = None
    """How far its limit is from the last price; without it the order is a market order."""


class Print(Part):
    """A trade by hand, so many per cent from the last price, which trades against resting orders too."""

    symbol: str = Field(min_length=1, max_length=40)
    percent: Annotated[float, Field(ge=-90, le=1000)] = 0.0
    size: Count = 100


class Halt(Lasting):
    """Trading in a contract is halted: no trades, quotes, bars and fills, and new orders are refused (154).

    Without a symbol that of the event. It is told as tick 49: 1 for a general halt, 2 for one of volatility.
    """

    symbol: str = Field("", max_length=40)
    reason: Literal["general", "volatility"] = "general"


class Resumption(Part):
    """A halted contract trades again, first what has waited."""

    symbol: str = Field(min_length=1, max_length=40)


class Action(Part):
    """What happens. `overtake` lets later messages pass a delayed one; `cut` is how many bytes leave before the end."""

    # to the message
    drop: bool = False
    delay: Seconds = 0.0
    overtake: bool = False
    duplicate: bool = False
    echo: Seconds = 0.0
    close: bool = False
    cut: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    lie: Lie | None = None
    short_read: bool = False
    error: Objection | None = None
    # to a process
    signal: Signal | None = None
    target: str = Field("", max_length=80)
    cont_after: Seconds = 0.0
    before: bool = False
    # to the gateway
    notice: Notice | None = None
    outage: Outage | None = None
    restore: Literal[1101, 1102] | None = None
    farm: FarmNotice | None = None
    restart: Restart | None = None
    half_open: Silence | None = None
    freeze: Silence | None = None
    deaf: Deaf | None = None
    occupied: Occupied | None = None
    competing: Lasting | None = None
    restriction: Restriction | None = None
    frozen: Frozen | None = None
    clock_skew: Skew | None = None
    fragments: Fragments | None = None
    next_id: RollBack | None = None
    # to orders and what they rest on
    throw_out: ThrowOut | None = None
    correct: Correction | None = None
    bust: Bust | None = None
    overfill: ExtraFill | None = None
    fill_after_cancel: ExtraFill | None = None
    bar_bust: BarBust | None = None
    manual_order: ManualOrder | None = None
    print: Print | None = None
    halt: Halt | None = None
    resume: Resumption | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.wanted():
            raise ValueError(f"an action does one of: {', '.join(sorted(DOES))}")
        if self.cont_after and (self.signal or "").removeprefix("SIG") != "STOP":
            raise ValueError("cont_after belongs to signal STOP")
        if (self.signal is None) != (not self.target):
            raise ValueError("signal and target belong together")
        if self.overtake and not self.delay:
            raise ValueError("overtake needs a delay")
        return self

    def wanted(self) -> set[str]:
        """What the action does, by name."""
        return {name for name in DOES if getattr(self, name)}


DESCRIBED = {
    "drop": "The message does not leave, or is not acted upon.",
    "delay": "So many seconds late, and all that follows with it; with `overtake`, what follows passes.",
    "duplicate": "Twice at once.",
    "echo": "Once more after so many seconds.",
    "close": "The connection is closed after it.",
    "cut": "The connection ends after so many bytes of it.",
    "lie": f"It says what is not true: {', '.join(get_args(Lie))}.",
    "short_read": "It ends on a multiple of 4096 bytes, and nothing follows for a while: IB's own client drops it.",
    "signal": "To the process `target`: KILL, STOP, CONT or TERM, with or without SIG.",
    "half_open": "The socket stays, nothing is read, what is written is lost; after `seconds` it is closed.",
    "freeze": "The socket stays, nothing is read or written; after `seconds` everything goes on, and nothing is lost.",
    "competing": "Another live session of the same user: market data ends with 10197 until `seconds` have gone by.",
    "overfill": "A filled order, the event's or the newest, is filled once more, beyond its quantity.",
    "fill_after_cancel": "An order that has been cancelled, the event's or the newest, is filled all the same.",
    "restore": "The link is back: 1101 or 1102; also when it was never lost.",
}
_MODIFIERS = {"overtake", "target", "cont_after", "before"}
DOES = set(Action.model_fields) - _MODIFIERS
TO_RECEIVED = {"drop", "delay", "duplicate", "close", "error"}
TO_SENT = {"drop", "delay", "duplicate", "echo", "close", "cut", "lie", "short_read"}
TO_MESSAGE = TO_RECEIVED | TO_SENT
LYING = {"historicalData sent", "historical bars", "realtimeBar sent", "realtime bar sent"}
NAMELESS = {"openOrder sent", "ack sent", "orderStatus sent", "status sent"}
