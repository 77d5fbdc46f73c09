"""What a person means by a symbol's name: which of the registry's entries."""

from collections.abc import Iterable

from infra.errors import UsageError
from infra.symbol_names import AMBIGUOUS_SYMBOL, ANY_EXCHANGE, SymbolName
from schemas.validation import Symbol, SymbolState

_IN_DOUBT = frozenset({SymbolState.AMBIGUOUS, SymbolState.REJECTED})


class SymbolUnclearError(UsageError):
    """Several listings go by that name."""

    def __init__(self, name: SymbolName, found: Iterable[Symbol]) -> None:
        names = ", ".join(str(name_of(each)) for each in found)
        super().__init__(f"{AMBIGUOUS_SYMBOL}: {name} can mean {names}: say which")


def the_one_meant(name: SymbolName, registry: Iterable[Symbol]) -> Symbol | None:
    """What the name means, if the registry has it; SymbolUnclearError when that is not one listing."""
    found = meanings(name, registry)
    valid = [each for each in found if each.state is SymbolState.VALID]
    if len(found) > 1 and len(valid) != 1:
        raise SymbolUnclearError(name, valid or found)
    return found[0] if found else None


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
