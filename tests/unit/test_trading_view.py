"""Live trading as a person reads it: who only pretends is told from who trades, and what it has earned is shown."""

from typing import Any

import pytest

from infra.errors import UsageError
from producers.cli.allocation_desk import shown
from producers.cli.registry_view import refuse_what_is_not_valid
from producers.cli.trading_view import strategies_table
from schemas.validation import Symbol, SymbolState
from tests.builders import SEEN, a_contract


def a_strategy(**changes: Any) -> dict[str, Any]:
    fields = {"strategy_id": "s", "state": "running", "strategy": "buy_and_hold", "symbols": ["IBM"]}
    counts = {"bars_seen": 9, "signals": 23, "intents": 23, "denied": 0, "positions": {"IBM": "100"}}
    return fields | counts | {"account_id": "DU1", "shadow": False, "pnl": "0", "error": ""} | changes


def test_a_shadow_is_told_from_a_strategy_that_trades() -> None:
    pretends, trades = strategies_table([a_strategy(shadow=True), a_strategy()]).splitlines()[1:]
    assert "running (shadow)" in pretends
    assert "shadow" not in trades


@pytest.mark.parametrize(("pnl", "told"), [("1234.5", "1234.50"), ("-7.125", "-7.12"), ("-0.001", "0.00")])
def test_what_a_strategy_has_earned_is_shown(pnl: str, told: str) -> None:
    heads, row = strategies_table([a_strategy(pnl=pnl)]).splitlines()
    assert row[heads.index("P&L") :].split()[0] == told


def a_plan(**changes: Any) -> dict[str, Any]:
    fields = {"account_id": "DU1", "capital": "50000", "method": "fixed", "band": 0.1}
    return fields | {"weights": {"s": 0.6, "t": 0.4}, "states": {"s": "running", "t": "stopped"}} | changes


def test_a_plan_shows_how_each_of_its_strategies_stands() -> None:
    head, _, running, stopped = shown(a_plan()).splitlines()
    assert head == "DU1: 50000 by fixed, sizes within 10%"
    assert (running.split(), stopped.split()) == (["s", "0.6", "running"], ["t", "0.4", "stopped"])


def test_a_plan_without_capital_has_ended() -> None:
    assert shown(a_plan(capital="0")) == "DU1: the plan has ended, sizes stay as they are"


def an_entry(name: str, state: SymbolState) -> Symbol:
    contract = a_contract(symbol=name) if state is SymbolState.VALID else None
    fields = {"symbol_id": f"{name}:SMART:USD", "symbol": name, "state": state, "contract": contract}
    return Symbol(**fields, event_time=SEEN, ingest_time=SEEN)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["AAPL", "NOPE"], "not validated: NOPE; `scizor symbols add NOPE` asks the gateway about them"),
        (["GONE"], "not validated: GONE; `scizor symbols add GONE` asks the gateway about them"),
        (["IDLE"], "suspended: IDLE; `scizor symbols resume IDLE` takes it up again"),
    ],
)
def test_nothing_is_deployed_with_symbols_that_are_not_valid(names: list[str], why: str) -> None:
    states = {"AAPL": SymbolState.VALID, "GONE": SymbolState.REJECTED, "IDLE": SymbolState.SUSPENDED}
    entries = [an_entry(name, state) for name, state in states.items()]
    refuse_what_is_not_valid(["AAPL"], entries)
    with pytest.raises(UsageError) as refused:
        refuse_what_is_not_valid(names, entries)
    assert str(refused.value) == why
