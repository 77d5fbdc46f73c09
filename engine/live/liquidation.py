"""How a strategy that stops sells: its own orders are cancelled first, what is refused is tried again, for a day."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from engine.live.own_orders import Refusal, again_after

PATIENCE = timedelta(days=1)
"""Of market time, from the first order that did not fill to the last one: then a person has to look."""


@dataclass
class _Tries:
    """Orders that left what is held as it was."""

    held: Decimal
    first: datetime
    last: datetime
    count: int = 0

    @property
    def due(self) -> datetime:
        """When the next one may go out."""
        return self.last + again_after(self.count) if self.count else self.last


class Liquidation:
    """By contract: when to sell, and whether it was given up. Its times are those of the market's prices."""

    def __init__(self, clearing: set[int]) -> None:
        """`clearing`: contracts of which orders are being cancelled."""
        self.clearing = clearing
        self.given_up: dict[int, str] = {}
        """Why, by contract; only a person who asks once more has it tried again."""
        self._tries: dict[int, _Tries] = {}

    def wants(self, contract_id: int, held: Decimal, refusal: Refusal | None, now: datetime) -> bool:
        """Whether what is held, and nothing works on, is to be sold now. `refusal`: of the last order."""
        if not held or contract_id in self.given_up:
            return False
        tries = self._tries.get(contract_id)
        if tries is None or tries.held != held:
            tries = self._tries[contract_id] = _Tries(held, now, now)
        for_good = refusal is not None and refusal.for_good
        if for_good or tries.last - tries.first >= PATIENCE:
            why = refusal.why if refusal is not None else "the order did not fill"
            self.given_up[contract_id] = f"{why} ({tries.count} {'try' if tries.count == 1 else 'tries'})"
            return False
        if now < tries.due:
            return False
        tries.last = now
        tries.count += 1
        return True
