"""The life of a symbol, as a table: which state follows which, and what an answer of the gateway makes of it."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from infra.symbol_names import AMBIGUOUS_SYMBOL, UNKNOWN_SYMBOL, parse_symbol
from producers.data_farmer.lifecycle import (
    TRANSITIONS,
    TransitionError,
    changed,
    finding_of,
    judged,
    moved,
    rejected,
)
from schemas.registry import ChangeSymbol
from schemas.validation import (
    Contract,
    ContractChanged,
    Symbol,
    SymbolAmbiguous,
    SymbolRejected,
    SymbolState,
    SymbolValidated,
)
from tests.builders import APPLE, SEEN, a_contract

LATER = SEEN + timedelta(days=1)
ALLOWED = """
requested  -> validating suspended removed
validating -> requested valid ambiguous rejected suspended delisted removed
valid      -> suspended delisted removed
ambiguous  -> validating suspended removed
rejected   -> validating suspended removed
suspended  -> valid requested delisted removed
delisted   -> validating removed
removed    -> requested
"""


def an_entry(state: SymbolState = SymbolState.VALIDATING, **changes: Any) -> Symbol:
    fields: dict[str, Any] = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "symbol_id": parse_symbol("AAPL").symbol_id,
        "symbol": "AAPL",
        "state": state,
        "contract": a_contract() if state in (SymbolState.VALID, SymbolState.SUSPENDED, SymbolState.DELISTED) else None,
    }
    return Symbol(**(fields | changes))


def a_wish(**changes: Any) -> ChangeSymbol:
    fields = {"event_time": SEEN, "ingest_time": SEEN, "run_id": "run-1", "symbol": "AAPL", "requested_by": "ann"}
    return ChangeSymbol(**(fields | changes))


def test_the_table_of_transitions_is_the_one_that_is_documented() -> None:
    table = {
        SymbolState(state.strip()): {SymbolState(each) for each in following.split()}
        for state, _, following in (line.partition("->") for line in ALLOWED.strip().splitlines())
    }
    assert dict(TRANSITIONS) == table


@pytest.mark.parametrize(("before", "after"), list(itertools.product(SymbolState, SymbolState)))
def test_only_what_the_table_allows_comes_to_pass(before: SymbolState, after: SymbolState) -> None:
    if before is after or after in TRANSITIONS[before]:
        assert moved(an_entry(before), after, LATER).state is after
    else:
        with pytest.raises(TransitionError, match=f"is {before} and cannot become {after}"):
            moved(an_entry(before), after, LATER)


def test_one_contract_makes_it_valid_and_verified_and_keeps_what_people_noted() -> None:
    entry = an_entry(reason="asked", note="ours", tags=("core",), collect=False, kind="stock")

    after = judged(entry, finding_of(entry, [a_contract()], LATER))

    assert (after.state, after.contract, after.last_verified, after.reason) == (
        SymbolState.VALID,
        a_contract(),
        LATER,
        "",
    )
    assert (after.note, after.tags, after.collect, after.kind) == ("ours", ("core",), False, "stock")


def listings() -> list[Contract]:
    there = a_contract(contract_id=4036812, primary_exchange="ASX", currency="AUD")
    return [there, a_contract(contract_id=4036818, primary_exchange="NYSE")]


def test_several_contracts_make_it_ambiguous_with_its_candidates() -> None:
    entry = an_entry()

    finding = finding_of(entry, listings(), LATER)
    after = judged(entry, finding)

    assert isinstance(finding, SymbolAmbiguous)
    assert after.state is SymbolState.AMBIGUOUS
    assert [(each.contract_id, each.exchange) for each in after.candidates] == [(4036812, "ASX"), (4036818, "NYSE")]
    assert after.reason.startswith(f"{AMBIGUOUS_SYMBOL}: 2 contracts (ASX AUD, NYSE USD)")


def test_no_contract_rejects_what_never_was_valid_and_delists_what_was() -> None:
    new, known = an_entry(), an_entry(SymbolState.VALID)

    assert isinstance(finding_of(new, [], LATER), SymbolRejected)
    assert judged(new, finding_of(new, [], LATER)).state is SymbolState.REJECTED
    delisted = judged(known, rejected(known, 200, "No security definition", LATER))
    assert (delisted.state, delisted.contract, delisted.last_verified) == (
        SymbolState.DELISTED,
        known.contract,
        LATER,
    )
    assert delisted.reason.startswith(UNKNOWN_SYMBOL)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"contract_id": APPLE + 1}, f"{APPLE + 1} on NASDAQ in USD instead of {APPLE} on NASDAQ"),
        ({"primary_exchange": "NYSE"}, f"{APPLE} on NYSE in USD instead of {APPLE} on NASDAQ"),
    ],
)
def test_another_contract_is_told_and_never_taken_silently(change: dict[str, Any], told: str) -> None:
    entry = an_entry(SymbolState.VALID, last_verified=SEEN)
    other = a_contract(**change)

    finding = finding_of(entry, [other], LATER)
    after = judged(entry, finding)

    assert isinstance(finding, ContractChanged)
    assert (after.state, after.contract, after.last_verified) == (SymbolState.VALID, entry.contract, SEEN)
    assert told in after.reason
    assert [each.contract_id for each in after.candidates] == [other.contract_id]
    accepted = judged(after, finding_of(after, [other], LATER, accept_change=True))
    assert (accepted.contract, accepted.reason, accepted.candidates) == (other, "", ())


def test_new_hours_or_another_name_are_no_other_contract() -> None:
    entry = an_entry(SymbolState.VALID)
    renamed = a_contract(name="APPLE COMPUTER INC", liquid_hours="20130301:0930-20130301:1600")

    assert isinstance(finding_of(entry, [renamed], LATER), SymbolValidated)


def test_of_several_contracts_the_known_one_is_still_meant() -> None:
    entry = an_entry(SymbolState.VALID)

    assert isinstance(finding_of(entry, [*listings(), a_contract()], LATER), SymbolValidated)
    in_question = judged(entry, finding_of(entry, listings(), LATER))
    assert (in_question.state, in_question.contract) == (SymbolState.VALID, entry.contract)
    assert len(in_question.candidates) == 2


def test_a_person_suspends_and_resumes_and_notes() -> None:
    valid = an_entry(SymbolState.VALID, last_verified=SEEN)
    suspended = changed(valid, a_wish(state="suspended", note="halted"), LATER)
    resumed = changed(suspended, a_wish(state="valid"), LATER)

    assert (suspended.state, suspended.reason, suspended.note) == (SymbolState.SUSPENDED, "suspended by ann", "halted")
    assert (resumed.state, resumed.reason, resumed.contract) == (SymbolState.VALID, "", valid.contract)
    assert changed(an_entry(SymbolState.SUSPENDED, contract=None), a_wish(state="valid"), LATER).state == "requested"


def test_a_wish_that_is_fulfilled_already_changes_nothing() -> None:
    valid = an_entry(SymbolState.VALID, note="ours")

    assert changed(valid, a_wish(state="valid", note="ours", collect=True), LATER) is valid


def test_what_never_was_listed_cannot_be_delisted() -> None:
    with pytest.raises(TransitionError, match="AAPL is rejected and cannot become delisted"):
        changed(an_entry(SymbolState.REJECTED), a_wish(state="delisted"), LATER)
