"""A strategy made known: its contracts from the registry, its past from history, its code begun and warmed up."""

from collections.abc import Iterable

from consumers.strategist.guard import BEGIN_SECONDS_MAX, bounded
from engine.live.hosts import Hosts, StoppedFromOutsideError
from engine.live.running import RunningStrategy, never_begun
from infra.errors import UsageError
from infra.journal.warm_up import PastBars, past_bars
from infra.replay import fold
from infra.session_close import session_close
from infra.settings import Settings
from infra.symbol_meanings import the_one_meant
from infra.symbol_names import parse_symbol
from schemas.strategy import Deploy, RunningState
from schemas.validation import Contract, Symbol, SymbolState

_REGISTRY = "reference.symbols.v1"


async def deployed(
    settings: Settings, command: Deploy, known: RunningStrategy | None, hosts: Hosts
) -> tuple[RunningStrategy, PastBars | None, str]:
    """A strategy at its start, what it was warmed up by, and why it failed or was stopped there, if it was."""
    contracts = await _contracts(settings, command)
    keys = [each.contract_id for each in contracts]
    past = await past_bars(settings, command, keys) if command.warmup_bars else None
    orders = known.real_orders if known else None
    try:
        with bounded(BEGIN_SECONDS_MAX):
            strategy = RunningStrategy(command, contracts, orders, hosts, session_close)
            if past is not None and not strategy.ended:
                strategy.warm_up(past.bars)
    except StoppedFromOutsideError as error:
        stopped = never_begun(command, contracts, orders, str(error))
        return stopped, past, stopped.error
    return strategy, past, strategy.error if strategy.state is RunningState.FAILED else ""


async def _contracts(settings: Settings, command: Deploy) -> list[Contract]:
    """What the registry knows of the symbols; hours, which may be long, are of no use here."""
    registry: dict[str, Symbol] = {}
    async for event, _ in fold(settings, [_REGISTRY]):
        if isinstance(event, Symbol):
            registry[event.symbol_id] = event
    found = [_contract(symbol, registry.values()) for symbol in dict.fromkeys(command.symbols)]
    without_hours = {"trading_hours": "", "liquid_hours": ""}
    return [contract.model_copy(update=without_hours) for contract in found if contract is not None]


def _contract(symbol: str, registry: Iterable[Symbol]) -> Contract | None:
    """The contract of a symbol, if that is one and valid."""
    try:
        entry = the_one_meant(parse_symbol(symbol), registry)
    except UsageError:
        return None
    return entry.contract if entry is not None and entry.state is SymbolState.VALID else None
