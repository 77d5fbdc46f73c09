"""What a simulator is started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from infra.gateway_simulator.accounts.commissions import Schedule
from infra.gateway_simulator.accounts.opened import Opening
from infra.gateway_simulator.protocol.pacing import Pacing


@dataclass(frozen=True, slots=True)
class Options:
    """`speed` 0 lets only the control port move market time.

    With a `state` file the next start goes on where this one ended: orders, positions, ids and market time.
    `permissions` are those of symbols that are not seen live; `soft_delay` is how many seconds a request for larger
    bars waits once 60 came within ten minutes.
    `accounts` stand in for the one of `account` and `cash`; `faults` is a cassette, by its name or its file.
    `latency` is the market time in seconds that orders, changes and cancels take to the exchange.
    """

    start: float
    speed: float = 1.0
    seed: int = 7
    account: str = "DU1234567"
    cash: Decimal = Decimal(1_000_000)
    data: Path | None = None
    ledger: Path | None = None
    pacing: Pacing = Pacing.TODAY
    soft_delay: float = 0.0
    permissions: Mapping[str, str] = field(default_factory=dict)
    state: Path | None = None
    accounts: tuple[Opening, ...] = ()
    commissions: Schedule = Schedule.FIXED
    faults: str | None = None
    latency: float = 0.0

    def openings(self) -> tuple[Opening, ...]:
        return self.accounts or (Opening(self.account, {"USD": self.cash}),)
