"""Commands to live strategies, their state, their signals, and the journal that makes a day replayable."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from schemas.event import ContractId, Event, Money, Name, UtcTime
from schemas.market import Source
from schemas.validation import Contract


class _Command(Event):
    command_id: Name
    strategy_id: Name
    by: Name


class Deploy(_Command):
    """Make a strategy known: its class, its parameters, its symbols, the account it trades."""

    type: Literal["Deploy"] = "Deploy"
    strategy: Name
    """Name of the strategy class, as `scizor strategy list` shows it."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    symbols: Annotated[tuple[Name, ...], Field(min_length=1, max_length=500)]
    account_id: Name
    quantity: Annotated[float, Field(gt=0)] = 100.0
    """Shares of a full-strength position."""
    trigger: Literal["bars", "ticks"] = "bars"
    bar_size_seconds: Annotated[int, Field(gt=0)] = 60
    """Live bars are aggregated to this size before the strategy sees them."""
    warmup_bars: Annotated[int, Field(ge=0, le=100_000)] = 0
    source: Annotated[str, Field(max_length=262_144)] = ""
    """Text of an uploaded strategy, which runs in the sandbox alone; empty for one that ships. Left out of states."""
    code_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Of `source`."""
    shadow: bool = False
    """It only pretends: its orders are filled by the exchange of backtests and never leave the strategist."""
    capital: Annotated[Money, Field(gt=0)] | None = None
    """What the strategy's own `cash` and `equity` begin with, for those that look at them."""


class Start(_Command):
    """Begin to trade."""

    type: Literal["Start"] = "Start"


class Stop(_Command):
    """Stop for good; open positions stay, unless they are to be closed by market orders before it ends."""

    type: Literal["Stop"] = "Stop"
    liquidate: bool = False


class Pause(_Command):
    """Go on consuming, send no intents."""

    type: Literal["Pause"] = "Pause"


class Resume(_Command):
    """Send intents again."""

    type: Literal["Resume"] = "Resume"


class Reconfigure(_Command):
    """New parameters, from the next bar on."""

    type: Literal["Reconfigure"] = "Reconfigure"
    parameters: dict[str, Any]


class Allocate(_Command):
    """A new size of a full-strength position."""

    type: Literal["Allocate"] = "Allocate"
    quantity: Annotated[float, Field(gt=0)]
    quantities: dict[Name, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Where symbols have sizes of their own."""


class Promote(_Command):
    """A shadow begins to trade: its next orders go to risk, and it holds what its real executions left."""

    type: Literal["Promote"] = "Promote"


class RunningState(StrEnum):
    """Where a live strategy stands."""

    DEPLOYED = "deployed"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    """It closes what it holds, then it stops."""
    STOPPED = "stopped"
    FAILED = "failed"


class StrategyState(Event):
    """The live strategy's state; the newest one per `strategy_id` holds."""

    type: Literal["StrategyState"] = "StrategyState"
    strategy_id: Name
    state: RunningState
    deployment: Deploy
    signals: int = 0
    intents: int = 0
    denied: int = 0
    positions: dict[str, str] = Field(default_factory=dict)
    """Own quantity by symbol, as decimal text."""
    bars_seen: int = 0
    error: Annotated[str, Field(max_length=2000)] = ""
    last_command: str = ""
    """Id of the last command that was taken or refused."""
    refused: Annotated[str, Field(max_length=500)] = ""
    """Why the last command was refused; empty when it was taken."""
    shadow: bool = False
    pnl: Money = Decimal(0)
    """Realised and unrealised, at the last prices, without commissions."""


class Signal(Event):
    """A strategy's wish as it was published: a target position, as a share of its full size."""

    type: Literal["Signal"] = "Signal"
    signal_id: Name
    strategy_id: Name
    contract_id: ContractId
    symbol: Name
    target: Annotated[float, Field(ge=-1, le=1)]
    """-1 full short, 0 flat, +1 full long."""
    reason: Annotated[str, Field(max_length=500)] = ""
    price: Money
    source: Source
    shadow: bool = False
    """Of a strategy that only pretends."""


class JournalEntry(Event):
    """Which inputs a strategy consumed, in which order: acknowledged before the outputs they cause.

    One entry stands for a run of inputs from one place: those of the strategy's own among the records from
    `first_offset` to `offset`. Entry after entry, inputs are fed again in exactly the order they were consumed.
    """

    type: Literal["JournalEntry"] = "JournalEntry"
    strategy_id: Name
    sequence: Annotated[int, Field(ge=1)]
    topic: str
    partition: int
    first_offset: int
    offset: int
    consumed_at: UtcTime
    outputs: tuple[str, ...] = ()
    """Ids of the signals and intents that followed from it."""
    contracts: tuple[Contract, ...] | None = None
    """Of a deployment, and of nothing else: what was known of its symbols then."""
    digest: str = ""
    """SHA-256 of the inputs, by offset and value."""
    marks: str = ""
    """Eight hexadecimal digits for each input, so that a changed one can be named."""
    warmed_by: str = ""
    """Of a deployment with a warm-up: SHA-256 of the past bars."""
    code: str = ""
    """Which code decided, from this entry on: told when a strategy is deployed and when a process goes on with it."""
    epoch: Annotated[int, Field(ge=0)] = 0
    """Of the lease of the process that wrote it."""
    claim: bool = False
    """No input: another process writes the journals from here on, and entries of an earlier epoch count for nothing."""
    fault: Annotated[str, Field(max_length=2000)] = ""
    """Why the strategy failed or was stopped at the last of these inputs, which it did not get through."""


class AllocationMethod(StrEnum):
    """How weights are found."""

    FIXED = "fixed"
    EQUAL = "equal"
    INVERSE_VOLATILITY = "inverse_volatility"


class AllocationPlan(Event):
    """How an account's capital is shared out over strategies; the newest one per `account_id` holds."""

    type: Literal["AllocationPlan"] = "AllocationPlan"
    account_id: Name
    by: Name
    method: AllocationMethod
    capital: Annotated[Money, Field(ge=0)]
    """In the account's currency; zero ends the plan, and sizes stay as they are."""
    weights: Annotated[dict[Name, Annotated[float, Field(ge=0, le=1)]], Field(max_length=100)]
    """Whom it is about; the numbers count for `fixed` alone."""
    band: Annotated[float, Field(ge=0, le=1)] = 0.1
    """How far a size may drift, as a fraction of it, before it is changed."""

    @model_validator(mode="after")
    def _weights_fit(self) -> Self:
        if self.method is AllocationMethod.FIXED and sum(self.weights.values()) > 1 + 1e-9:
            raise ValueError(f"the weights add up to {sum(self.weights.values()):g}: at most 1")
        return self


StrategyCommand = Annotated[
    Deploy | Start | Stop | Pause | Resume | Reconfigure | Allocate | Promote, Field(discriminator="type")
]
