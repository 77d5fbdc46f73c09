"""The same executions give the same portfolio, in any order, however often they come and are corrected."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.portfolio import ContractLedger, Holding, Portfolio, RoundTrip, Step
from schemas.orders import Commission, Fill, FillBusted, FillCorrected, FillEvent, Side
from tests.builders import APPLE, NOON, SEEN, a_fill

D = Decimal
ACCOUNT = "DU1234567"


def fill(number: int, quantity: int, price: str = "10", revision: int = 1, minute: int | None = None) -> FillEvent:
    """A positive quantity buys, a negative one sells; executions happen in the order of their numbers."""
    kind = Fill if revision == 1 else FillCorrected
    return kind(
        **(
            a_fill().model_dump(exclude={"type"})
            | {
                "execution_id": f"exec.{number}",
                "revision": revision,
                "side": Side.BUY if quantity > 0 else Side.SELL,
                "last_quantity": abs(quantity),
                "last_price": price,
                "event_time": NOON + timedelta(minutes=number if minute is None else minute),
            }
        )
    )


def bust(number: int, revision: int) -> FillBusted:
    return FillBusted(
        execution_id=f"exec.{number}", revision=revision, account_id=ACCOUNT, contract_id=APPLE,
        event_time=NOON + timedelta(minutes=number), ingest_time=SEEN,
    )  # fmt: skip


def commission(number: int, amount: str, revision: int = 1) -> Commission:
    return Commission(
        execution_id=f"exec.{number}", revision=revision, account_id=ACCOUNT, amount=amount, currency="USD",
        event_time=NOON, ingest_time=SEEN,
    )  # fmt: skip


def portfolio(*events: FillEvent) -> Portfolio:
    result = Portfolio()
    for event in events:
        result.apply(event)
    return result


def look(known: Portfolio) -> Any:
    return {
        key: (ledger.holding, ledger.fills, ledger.commission, ledger.updated_at,
              [(t.trade_id, t.side, t.quantity, t.entry_price, t.exit_price, t.gross_pnl, ledger.commission_of(t))
               for t in ledger.round_trips])
        for key, ledger in known.ledgers.items()
    }  # fmt: skip


def held(*events: FillEvent) -> tuple[Decimal, Decimal, Decimal]:
    holding: Holding = portfolio(*events).ledgers[ACCOUNT, APPLE].holding
    return holding.quantity, holding.average_price, holding.realised


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([fill(1, 100, "10")], (100, 10, 0)),
        ([fill(1, 100, "10"), fill(2, 100, "20")], (200, 15, 0)),
        ([fill(1, 100, "10"), fill(2, -40, "15")], (60, 10, 200)),
        ([fill(1, 100, "10"), fill(2, -100, "15")], (0, 0, 500)),
        ([fill(1, 100, "10"), fill(2, -150, "15")], (-50, 15, 500)),
        ([fill(1, -100, "10"), fill(2, 40, "8")], (-60, 10, 80)),
        ([fill(1, -100, "10"), fill(2, 150, "8")], (50, 8, 200)),
        ([fill(1, 100, "10"), fill(1, 90, "11", revision=2)], (90, 11, 0)),
        ([fill(1, 100, "10"), fill(2, 50, "20"), bust(2, 2)], (100, 10, 0)),
        ([fill(1, 3, "10"), fill(2, 3, "10.00000001")], (6, D("10.00000000"), 0)),
    ],
)
def test_executions_add_up(events: list[FillEvent], expected: tuple[int, int, int]) -> None:
    assert held(*events) == tuple(D(each) for each in expected)


def test_a_repeat_or_an_older_revision_changes_nothing() -> None:
    known = portfolio(fill(1, 100), fill(1, 90, revision=2))
    assert known.apply(fill(1, 90, revision=2)) is None
    assert known.apply(fill(1, 100)) is None
    assert known.ledgers[ACCOUNT, APPLE].holding.quantity == 90


def test_a_commission_may_come_before_its_execution() -> None:
    known = portfolio(commission(1, "1.5"))
    assert known.ledgers == {}
    changed = known.apply(fill(1, 100))
    assert changed is not None
    assert changed.commission == D("1.5")


def test_a_busted_execution_costs_nothing() -> None:
    assert portfolio(fill(1, 100), commission(1, "1.5"), bust(1, 2)).ledgers[ACCOUNT, APPLE].commission == 0


def test_passing_zero_ends_one_round_trip_and_begins_the_next() -> None:
    ledger = portfolio(
        fill(1, 100, "10"), fill(2, -150, "12"), fill(3, 50, "11"), commission(1, "1"), commission(2, "3")
    ).ledgers[ACCOUNT, APPLE]
    first, second = ledger.round_trips
    assert (first.side, first.quantity, first.entry_price, first.exit_price, first.gross_pnl) == (
        Side.BUY, D(100), D(10), D(12), D(200),
    )  # fmt: skip
    assert (second.side, second.quantity, second.gross_pnl) == (Side.SELL, D(50), D(50))
    assert (ledger.commission_of(first), ledger.commission_of(second)) == (D(3), D(1))


def test_a_round_trip_that_a_correction_undoes_is_told_as_gone() -> None:
    known = portfolio(fill(1, 100), fill(2, -100))
    ledger = known.ledgers[ACCOUNT, APPLE]
    (trip,) = ledger.changed_trips
    ledger.told()
    known.apply(fill(2, -90, revision=2))
    assert ledger.gone_trips == {trip.trade_id}
    assert ledger.changed_trips == []


def test_an_execution_cannot_change_its_contract() -> None:
    moved = fill(1, 100, revision=2).revised(contract_id=APPLE + 1)
    with pytest.raises(ValueError, match=r"exec\.1 is of contract"):
        portfolio(fill(1, 100), moved)


executions = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 3)).map(
        lambda p: fill(p[0], (p[0] * 7 + p[1]) * (-1 if (p[0] + p[1]) % 2 else 1), str(10 + p[0] - p[1]), p[1])
    )
    | st.integers(1, 6).map(lambda number: bust(number, 4))
    | st.tuples(st.integers(1, 6), st.integers(1, 2)).map(lambda p: commission(p[0], f"{p[0]}.{p[1]}", p[1])),
    min_size=1,
    max_size=14,
)


@given(events=executions, data=st.data())
def test_any_order_and_any_repetition_give_the_same_portfolio(events: list[FillEvent], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(events), max_size=5))
    shuffled = data.draw(st.permutations([*events, *again]))
    assert look(portfolio(*shuffled)) == look(portfolio(*events))


@given(events=executions)
def test_what_was_earned_is_what_went_in_and_came_out(events: list[FillEvent]) -> None:
    """Money is conserved: realised profit is cash plus what the position cost."""
    for ledger in portfolio(*events).ledgers.values():
        cash = sum((-e.quantity * e.price for e in ledger._executions.values()), D(0))
        cost = ledger.holding.quantity * ledger.holding.average_price
        assert abs(ledger.holding.realised - (cash + cost)) < D("0.00001")


def test_each_strategy_has_the_round_trips_of_its_own_executions() -> None:
    """One that buys and one that sells are flat together, and neither of them has closed anything."""
    buyer, seller = fill(1, 100, "10"), fill(2, -100, "12").revised(strategy_id="seller")
    known = portfolio(buyer.revised(strategy_id="buyer"), seller, commission(2, "1"))
    assert known.ledgers[ACCOUNT, APPLE].holding == Holding(D(0), D(0), D(200))
    parts = known.parts(ACCOUNT, APPLE)
    assert {name: list(part.round_trips) for name, part in parts.items()} == {"buyer": [], "seller": []}
    known.apply(fill(3, 100, "11").revised(strategy_id="seller"))
    (trip,) = parts["seller"].round_trips
    assert (trip.strategy_id, trip.side, trip.gross_pnl, parts["seller"].commission_of(trip)) == (
        "seller", Side.SELL, D(100), D(1),
    )  # fmt: skip


def test_the_history_says_what_was_held_after_every_execution_and_a_correction_moves_what_follows() -> None:
    known = portfolio(fill(1, 100, "10"), fill(2, -40, "15"))
    ledger = known.ledgers[ACCOUNT, APPLE]
    assert [step.holding for step in ledger.changed_steps] == [
        Holding(D(100), D(10), D(0)),
        Holding(D(60), D(10), D(200)),
    ]
    ledger.told()
    assert ledger.changed_steps == []
    known.apply(commission(1, "1"))
    assert [step.execution.execution_id for step in ledger.changed_steps] == ["exec.1"]
    ledger.told()
    known.apply(fill(1, 90, "11", revision=2))
    assert [step.holding for step in ledger.changed_steps] == [
        Holding(D(90), D(11), D(0)),
        Holding(D(50), D(11), D(160)),
    ]
    ledger.told()
    known.apply(bust(2, 2))
    assert ledger.gone_steps == {"exec.2"}


def test_an_execution_that_comes_late_changes_what_follows_it_and_nothing_before() -> None:
    """A ledger of thousands would be written again whole, in the transaction of one fill."""
    told = [fill(number, 100 if number % 2 else -100, str(10 + number)) for number in range(1, 41)]
    known = portfolio(*told, commission(3, "1"))
    ledger, part = known.ledgers[ACCOUNT, APPLE], known.parts(ACCOUNT, APPLE)[a_fill().strategy_id]
    for each in (ledger, part):
        each.told()
    known.apply(commission(5, "1"))
    known.apply(fill(0, 50, "30", minute=38))  # of the second of the 38th, before it by its id

    names = [step.execution.execution_id for step in ledger.changed_steps]
    assert sorted(names) == ["exec.0", "exec.38", "exec.39", "exec.40", "exec.5"]
    entered = {trip.opened_at for trip in part.changed_trips}
    assert entered == {NOON + timedelta(minutes=5)}, "the trip of the commission; that of 37 never ends now"
    assert len(ledger.steps) == 41


@given(events=executions, data=st.data())
def test_who_takes_note_of_changes_now_and_then_knows_the_whole_history(
    events: list[FillEvent], data: st.DataObject
) -> None:
    known = Portfolio()
    steps: dict[str, Any] = {}
    trips: dict[str, Any] = {}
    for event in events:
        known.apply(event)
        for ledger in known.ledgers.values() if data.draw(st.booleans()) else ():
            steps |= {step.execution.execution_id: _row(ledger, step) for step in ledger.changed_steps}
            trips |= {trip.trade_id: _trip(ledger, trip) for trip in ledger.changed_trips}
            steps = {name: row for name, row in steps.items() if name not in ledger.gone_steps}
            trips = {name: row for name, row in trips.items() if name not in ledger.gone_trips}
            ledger.told()
    for ledger in known.ledgers.values():
        steps |= {step.execution.execution_id: _row(ledger, step) for step in ledger.changed_steps}
        trips |= {trip.trade_id: _trip(ledger, trip) for trip in ledger.changed_trips}
        assert {name: row for name, row in steps.items() if name not in ledger.gone_steps} == {
            step.execution.execution_id: _row(ledger, step) for step in ledger.steps
        }
        assert {name: row for name, row in trips.items() if name not in ledger.gone_trips} == {
            trip.trade_id: _trip(ledger, trip) for trip in ledger.round_trips
        }


def _row(ledger: ContractLedger, step: Step) -> Any:
    return step, ledger.cost_of(step.execution.execution_id)


def _trip(ledger: ContractLedger, trip: RoundTrip) -> Any:
    return replace(trip, legs=[*trip.legs]), ledger.commission_of(trip)
