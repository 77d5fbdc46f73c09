"""Our positions beside the broker's, both of one moment: that at which the broker has told its own.

Executions are put in the order in which we heard of them, since the market's time may be another than this machine's.
One that we heard of long before the broker's count is in both, one of long after in neither; of one right around it
nobody can say. So a difference that such executions can explain is no verdict, and one that they cannot explain is one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from engine.portfolio import ZERO, Execution, execution_of
from schemas.orders import Commission, FillBusted, FillEvent

AROUND = timedelta(seconds=5)
"""So near to the moment of a count an execution may be in it or not: the count takes a while, and so do reports."""


@dataclass(frozen=True)
class Difference:
    """One contract that we count otherwise than the broker."""

    contract_id: int
    symbol: str
    ours: Decimal
    theirs: Decimal


@dataclass
class _Count:
    """What is held of a contract at the moment; what executions right around it may have added, or not."""

    symbol: str = ""
    ours: Decimal = ZERO
    least: Decimal = ZERO
    most: Decimal = ZERO

    def add(self, change: Decimal, heard: timedelta) -> None:
        """What we heard of at so much after the moment."""
        if heard <= timedelta(0):
            self.ours += change
        settled = heard <= -AROUND
        self.least += change if settled else min(change, ZERO)
        self.most += change if settled else max(change, ZERO)


@dataclass
class Compared:
    """`differences` are certain, `unsettled` the symbols of which nobody can say."""

    differences: list[Difference] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    later: int = 0
    """Executions, and corrections of them, that we have heard of since."""

    @property
    def agrees(self) -> bool | None:
        """None is no verdict."""
        return False if self.differences else None if self.unsettled else True


def compared(events: Iterable[FillEvent], theirs: Mapping[int, Decimal], told_at: datetime) -> Compared:
    """All executions of an account against what the broker has told by `told_at`, on the clock of `ingest_time`."""
    found = Compared()
    counts: dict[int, _Count] = {}
    newest: dict[str, Execution] = {}
    executions = (event for event in events if not isinstance(event, Commission))
    for event in sorted(executions, key=lambda each: (each.ingest_time, each.revision)):
        execution, known = execution_of(event), newest.get(event.execution_id)
        if known is not None and known.revision >= execution.revision:
            continue
        newest[event.execution_id] = execution
        count = counts.setdefault(event.contract_id, _Count())
        if not isinstance(event, FillBusted):
            count.symbol = event.symbol
        heard = event.ingest_time - told_at
        found.later += heard > timedelta(0)
        if heard < AROUND:
            count.add(execution.quantity - (known.quantity if known is not None else ZERO), heard)
    for contract_id in sorted(counts.keys() | theirs.keys()):
        count, told = counts.get(contract_id, _Count()), theirs.get(contract_id, ZERO)
        symbol = count.symbol or str(contract_id)
        if not count.least <= told <= count.most:
            found.differences.append(Difference(contract_id, symbol, count.ours, told))
        elif told != count.ours:
            found.unsettled.append(symbol)
    return found
