"""What one currency is worth in another: told by the forex quotes of the simulated world, and by nothing else."""

from collections.abc import Callable, Iterable
from decimal import Decimal

from infra.errors import ScizorError
from infra.gateway_simulator.instruments.instrument import Instrument, Kind

_BRIDGE = "USD"


class RateUnknownError(ScizorError):
    def __init__(self, currency: str, into: str) -> None:
        super().__init__(
            f"no quote turns {currency} into {into}: the simulated world has no such forex pair at this time"
        )
        self.currency = currency
        self.into = into


class Rates:
    """Rates between currencies at the last price of their pair, one way or the other, or by way of the dollar."""

    def __init__(self, instruments: Iterable[Instrument], mark: Callable[[Instrument], Decimal]) -> None:
        self._mark = mark
        self._pairs = {(each.symbol, each.currency): each for each in instruments if each.kind is Kind.FOREX}

    def rate(self, currency: str, into: str) -> Decimal:
        """Units of `into` for one of `currency`."""
        found = self._direct(currency, into)
        if found is None and _BRIDGE not in (currency, into):
            first, second = self._direct(currency, _BRIDGE), self._direct(_BRIDGE, into)
            found = first * second if first and second else None
        if not found:
            raise RateUnknownError(currency, into)
        return found

    def _direct(self, currency: str, into: str) -> Decimal | None:
        if currency == into:
            return Decimal(1)
        pair = self._pairs.get((currency, into))
        if pair is not None:
            return self._mark(pair) or None
        pair = self._pairs.get((into, currency))
        mark = self._mark(pair) if pair is not None else None
        return 1 / mark if mark else None
