"""What a person means by a symbol's name: which of the registry's entries."""

from collections.abc import Iterable

from infra.symbol_names import ANY_EXCHANGE, SymbolName
from schemas.validation import Symbol, SymbolState

_IN_DOUBT = frozenset({SymbolState.AMBIGUOUS, SymbolState.REJECTED})


def meanings(name: SymbolName, registry: Iterable[Symbol]) -> list[Symbol]:
    """The entry of exactly that name; else the listings it can mean, valid ones first; empty when there is none.

    `AAPL` finds AAPL:NASDAQ where that is what the registry has, and `AAPL:NASDAQ` finds AAPL where that turned out to
    be listed there: one contract does not stand in the registry under two names.
    """
    alive = [
        each
        for each in registry
        if (each.symbol, each.security_type) == (name.symbol, name.security_type)
        and each.state is not SymbolState.REMOVED
    ]
    exact = [each for each in alive if each.symbol_id == name.symbol_id]
    if exact and exact[0].state not in _IN_DOUBT:
        return exact
    others = [each for each in alive if each not in exact and _can_be(each, name)]
    others.sort(key=lambda each: (each.state is not SymbolState.VALID, each.exchange, each.currency))
    return others if not exact or any(each.state is SymbolState.VALID for each in others) else exact


def _can_be(entry: Symbol, name: SymbolName) -> bool:
    if name.exchange == ANY_EXCHANGE:
        return True
    contract = entry.contract
    if contract is None or entry.exchange != ANY_EXCHANGE:
        return False
    return (contract.primary_exchange, contract.currency) == (name.exchange, name.currency)


def name_of(entry: Symbol) -> SymbolName:
    return SymbolName(entry.symbol, entry.exchange, entry.currency, entry.security_type)
