"""What symbols mean, remembered for a few seconds: a price is served from memory, and pages ask for one symbol each."""

from consumers.api.front import Front
from consumers.api.symbols import known_contract
from schemas.validation import Contract

_BELIEVED_SECONDS = 5.0
_NAMES_MAX = 1_000


class Names:
    """Contracts by the symbols that were asked for; only what was found is remembered."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._known: dict[str, tuple[Contract, float]] = {}

    async def contract(self, symbol: str) -> Contract:
        """As `known_contract`, which is asked at most every few seconds."""
        now = self._front.service.clock.monotonic()
        known = self._known.get(symbol)
        if known is not None and now - known[1] < _BELIEVED_SECONDS:
            return known[0]
        contract = await known_contract(self._front, symbol)
        if len(self._known) >= _NAMES_MAX:
            self._known.clear()
        self._known[symbol] = (contract, now)
        return contract
