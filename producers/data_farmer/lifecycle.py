"""The life of a symbol: which state may follow which, and what an answer of the gateway makes of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from infra.errors import ScizorError
from infra.symbol_meanings import name_of
from infra.symbol_names import AMBIGUOUS_SYMBOL, UNKNOWN_SYMBOL
from schemas.registry import ChangeSymbol
from schemas.validation import (
    Candidate,
    Contract,
    ContractChanged,
    Symbol,
    SymbolAmbiguous,
    SymbolRejected,
    SymbolState,
    SymbolValidated,
    Validation,
)

UNKNOWN_CONTRACT = 200
"""IB's code for: no security definition has been found."""
_CANDIDATES_MAX = 200
_REASON_MAX = 500
_LISTED_MAX = 5

_S = SymbolState
TRANSITIONS: Mapping[SymbolState, frozenset[SymbolState]] = MappingProxyType(
    {
        _S.REQUESTED: frozenset({_S.VALIDATING, _S.SUSPENDED, _S.REMOVED}),
        _S.VALIDATING: frozenset(
            {_S.REQUESTED, _S.VALID, _S.AMBIGUOUS, _S.REJECTED, _S.SUSPENDED, _S.DELISTED, _S.REMOVED}
        ),
        # what is valid stays so while the gateway is asked again: nobody who trades it has to wait
        _S.VALID: frozenset({_S.SUSPENDED, _S.DELISTED, _S.REMOVED}),
        _S.AMBIGUOUS: frozenset({_S.VALIDATING, _S.SUSPENDED, _S.REMOVED}),
        _S.REJECTED: frozenset({_S.VALIDATING, _S.SUSPENDED, _S.REMOVED}),
        _S.SUSPENDED: frozenset({_S.VALID, _S.REQUESTED, _S.DELISTED, _S.REMOVED}),
        _S.DELISTED: frozenset({_S.VALIDATING, _S.REMOVED}),
        _S.REMOVED: frozenset({_S.REQUESTED}),
    }
)


class TransitionError(ScizorError):
    """A person asked for a state that does not follow."""

    def __init__(self, entry: Symbol, state: SymbolState) -> None:
        possible = ", ".join(sorted(TRANSITIONS[entry.state]))
        super().__init__(f"{name_of(entry)} is {entry.state} and cannot become {state}: possible are {possible}")


def moved(entry: Symbol, state: SymbolState, now: datetime, **changes: Any) -> Symbol:
    """The entry in its next state; TransitionError when that does not follow. Staying what it is always may be."""
    if state is not entry.state and state not in TRANSITIONS[entry.state]:
        raise TransitionError(entry, state)
    if "reason" in changes:
        changes["reason"] = changes["reason"][:_REASON_MAX]
    return entry.revised(event_time=now, ingest_time=now, state=state, **changes)


def changed(entry: Symbol, wanted: ChangeSymbol, now: datetime) -> Symbol:
    """The entry as a person wants it; the same object when that changes nothing.

    Wanting a symbol valid resumes a suspended one; what else is not valid is for the gateway to say.
    """
    after = entry
    notes = {"note": wanted.note, "tags": wanted.tags, "collect": wanted.collect}
    news = {name: value for name, value in notes.items() if value is not None and value != getattr(entry, name)}
    if news:
        after = moved(after, entry.state, now, **news)
    state = SymbolState(wanted.state) if wanted.state else entry.state
    if state is entry.state or (state is SymbolState.VALID and entry.state is not SymbolState.SUSPENDED):
        return after
    if state is SymbolState.VALID:
        return moved(after, SymbolState.VALID if entry.contract else SymbolState.REQUESTED, now, reason="")
    if state is SymbolState.DELISTED and entry.contract is None:
        raise TransitionError(entry, state)
    return moved(after, state, now, reason=f"{state} by {wanted.requested_by}")


def finding_of(entry: Symbol, found: Sequence[Contract], now: datetime, *, accept_change: bool = False) -> Validation:
    """What the gateway's answer says about a symbol; another contract than before is a finding of its own."""
    common = _common(entry, now)
    if not found:
        return SymbolRejected(**common, code=UNKNOWN_CONTRACT, reason="the gateway found no contract")
    known = entry.contract
    same = [each for each in found if known is not None and each.contract_id == known.contract_id]
    candidates = same or list(found)
    if len(candidates) > 1:
        return SymbolAmbiguous(**common, candidates=tuple(candidates[:_CANDIDATES_MAX]))
    if known is not None and not accept_change and _differs(known, candidates[0]):
        return ContractChanged(**common, before=known, now=candidates[0])
    return SymbolValidated(**common, contract=candidates[0])


def rejected(entry: Symbol, code: int, reason: str, now: datetime) -> SymbolRejected:
    return SymbolRejected(**_common(entry, now), code=code, reason=reason[:_REASON_MAX])


def _common(entry: Symbol, now: datetime) -> dict[str, Any]:
    return {"event_time": now, "ingest_time": now, "symbol_id": entry.symbol_id, "symbol": entry.symbol}


def _differs(known: Contract, found: Contract) -> bool:
    """Whether it is another contract, or the same one listed elsewhere. Hours and names may change as they like."""
    if known.contract_id != found.contract_id or known.currency != found.currency:
        return True
    return bool(known.primary_exchange and found.primary_exchange and known.primary_exchange != found.primary_exchange)


def judged(entry: Symbol, finding: Validation) -> Symbol:
    """The entry after the finding. A contract that was valid is never replaced by what was merely answered."""
    now = finding.event_time
    match finding:
        case SymbolValidated():
            changes = {"contract": finding.contract, "reason": "", "candidates": (), "last_verified": now}
            return moved(entry, SymbolState.VALID, now, **changes)
        case ContractChanged():
            return _in_question(entry, [finding.now], f"the gateway now answers another contract: {_changes(finding)}")
        case SymbolAmbiguous():
            reason = f"{AMBIGUOUS_SYMBOL}: {len(finding.candidates)} contracts ({_listings(finding.candidates)})"
            if entry.contract is not None:
                return _in_question(entry, finding.candidates, reason)
            told = f"{reason}; name one as SYMBOL:EXCHANGE"
            candidates = _brief(finding.candidates)
            return moved(
                entry, SymbolState.AMBIGUOUS, now, reason=told, candidates=candidates, last_verified=now, contract=None
            )
        case SymbolRejected():
            gone = finding.code == UNKNOWN_CONTRACT and entry.contract is not None
            state = SymbolState.DELISTED if gone else SymbolState.REJECTED
            told = f"{UNKNOWN_SYMBOL}: {finding.reason} ({finding.code})"
            return moved(entry, state, now, reason=told, candidates=(), last_verified=now)


def _in_question(entry: Symbol, found: Sequence[Contract], reason: str) -> Symbol:
    """It keeps its contract and is not verified, until a person decides."""
    state = SymbolState.VALID if entry.state is SymbolState.VALID else SymbolState.DELISTED
    told = f"{reason}; take it with `scizor symbols validate {name_of(entry)} --force-revalidate --accept-change`"
    now = found[0].ingest_time
    return moved(entry, state, now, reason=told, candidates=_brief(found))


def _changes(finding: ContractChanged) -> str:
    return f"{_place(finding.now)} instead of {_place(finding.before)}"


def _place(contract: Contract) -> str:
    return f"{contract.contract_id} on {contract.primary_exchange or contract.exchange} in {contract.currency}"


def _listings(found: Sequence[Contract]) -> str:
    return ", ".join(f"{each.primary_exchange or each.exchange} {each.currency}" for each in found[:_LISTED_MAX])


def _brief(found: Sequence[Contract]) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            contract_id=each.contract_id,
            exchange=each.primary_exchange or each.exchange,
            currency=each.currency,
            name=each.name,
        )
        for each in found
    )
