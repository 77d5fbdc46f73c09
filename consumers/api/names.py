"""What symbols mean, from the registry's topic in memory: a price is served without a look into the database."""

from consumers.api.front import Front
from consumers.api.symbols import known_contract
from consumers.api.views import Latest
from infra.symbol_meanings import meanings
from infra.symbol_names import parse_symbol
from schemas.validation import Contract, Symbol

_BELIEVED_SECONDS = 5.0
_NAMES_MAX = 1_000


class Names:
    """Contracts by the symbols that were asked for; only what was found is remembered, for a few seconds."""

    def __init__(self, front: Front, registry: Latest[Symbol]) -> None:
        self._front = front
        self._registry = registry
        self._known: dict[str, tuple[Contract, float]] = {}

    async def contract(self, symbol: str) -> Contract:
        """As `known_contract`, which is asked only where the registry's topic does not tell one contract."""
        now = self._front.service.clock.monotonic()
        known = self._known.get(symbol)
        if known is not None and now - known[1] < _BELIEVED_SECONDS:
            return known[0]
        contract = self._in_memory(symbol) or await known_contract(self._front, symbol)
        if len(self._known) >= _NAMES_MAX:
            self._known.clear()
        self._known[symbol] = (contract, now)
        return contract

    def _in_memory(self, symbol: str) -> Contract | None:
        found = [each.contract for each in meanings(parse_symbol(symbol), self._registry.all()) if each.contract]
        return found[0] if found and len({each.contract_id for each in found}) == 1 else None
