"""The symbol registry: what is known of each symbol, folded from its topic, brought up to date by asking."""

from datetime import timedelta

from infra.errors import ScizorError
from infra.gateway import Connection, GatewayRequestError, Market
from infra.replay import fold
from infra.service import Service
from infra.symbol_names import AMBIGUOUS_SYMBOL, UNKNOWN_SYMBOL, SymbolName
from schemas.validation import (
    Contract,
    Symbol,
    SymbolAmbiguous,
    SymbolRejected,
    SymbolState,
    SymbolValidated,
    Validation,
)

VERIFIED_FOR = timedelta(days=90)
_TOPIC = "reference.symbols.v1"
_CANDIDATES_MAX = 200
_UNKNOWN_CONTRACT = 200
_REASON_MAX = 500


class SymbolUnusableError(ScizorError):
    """The gateway knows no contract, or several, by that name."""


class Registry:
    """Symbols by id. Whoever changes it has published the change first."""

    def __init__(self, service: Service, connection: Connection, market: Market) -> None:
        self._service = service
        self._connection = connection
        self._market = market
        self._symbols: dict[str, Symbol] = {}

    async def recover(self) -> None:
        async for event, _ in fold(self._service.settings, [_TOPIC], catalogue=self._service.catalogue):
            if isinstance(event, Symbol):
                self._symbols[event.symbol_id] = event

    def verified(self, name: SymbolName) -> Contract | None:
        """The contract of a symbol that was verified lately."""
        known = self._symbols.get(name.symbol_id)
        if known is None or known.state is not SymbolState.VALID or known.last_verified is None:
            return None
        return known.contract if self._service.clock.now() - known.last_verified < VERIFIED_FOR else None

    async def validate(self, name: SymbolName) -> Contract:
        """Ask the gateway, publish the finding and the new state; SymbolUnusableError when it is not one contract."""
        finding = await self._ask(name)
        await self._service.publish(finding)
        state = self._state(name, finding)
        await self._service.publish(state)
        self._symbols[name.symbol_id] = state
        if isinstance(finding, SymbolValidated):
            return finding.contract
        raise SymbolUnusableError(state.reason)

    async def _ask(self, name: SymbolName) -> Validation:
        now = self._service.clock.now()
        common = {"event_time": now, "ingest_time": now, "symbol_id": name.symbol_id, "symbol": name.symbol}
        try:
            found = await self._market.contract_details(
                name.symbol,
                security_type=name.security_type,
                primary_exchange="" if name.exchange == "SMART" else name.exchange,
                currency=name.currency,
            )
        except GatewayRequestError as error:
            if any("secdef" in farm for farm in self._connection.state.broken_farms):
                raise  # with its definitions away the gateway knows no contract at all: that says nothing of this one
            return SymbolRejected(**common, code=error.code, reason=error.text[:_REASON_MAX])
        if not found:
            return SymbolRejected(**common, code=_UNKNOWN_CONTRACT, reason="the gateway found no contract")
        if len(found) > 1:
            return SymbolAmbiguous(**common, candidates=tuple(found[:_CANDIDATES_MAX]))
        return SymbolValidated(**common, contract=found[0])

    def _state(self, name: SymbolName, finding: Validation) -> Symbol:
        common = {
            "event_time": finding.event_time,
            "ingest_time": finding.ingest_time,
            "symbol_id": name.symbol_id,
            "symbol": name.symbol,
            "security_type": name.security_type,
            "exchange": name.exchange,
            "currency": name.currency,
            "last_verified": finding.event_time,
        }
        if isinstance(finding, SymbolValidated):
            return Symbol(**common, state=SymbolState.VALID, contract=finding.contract)
        if isinstance(finding, SymbolAmbiguous):
            listings = ", ".join(f"{c.primary_exchange or c.exchange} {c.currency}" for c in finding.candidates[:5])
            reason = (
                f"{AMBIGUOUS_SYMBOL}: {len(finding.candidates)} contracts ({listings}); name one as SYMBOL:EXCHANGE"
            )
            return Symbol(**common, state=SymbolState.AMBIGUOUS, reason=reason[:_REASON_MAX])
        reason = f"{UNKNOWN_SYMBOL}: {finding.reason} ({finding.code})"
        return Symbol(**common, state=SymbolState.REJECTED, reason=reason[:_REASON_MAX])
