"""What risk remembers between two looks, and makes without judging it again, is what it would find anew."""

from dataclasses import replace
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.account_book import AccountBook
from engine.risk_book import _SAME, _SAME_SCOPE, Book
from schemas.account import RiskLimits
from schemas.ids import named
from schemas.orders import ModifyIntent, OrderIntent, RiskBasis, RiskDecision, Side
from schemas.risk import ScopeBasis
from tests.builders import SEEN
from tests.unit.a_broker_of_sorts import World
from tests.unit.test_risk import limits
from tests.unit.test_risk_worst_case import one_step

D = Decimal
WIDE = limits(position_max=D(2_000), gross_exposure_max=D(300_000), open_orders_max=30)


def scoped(scope: str) -> RiskLimits:
    return WIDE.model_copy(update={"scope": scope})


def forgetful(book: AccountBook) -> AccountBook:
    """The same book, at its first look."""
    fresh = replace(book)
    fresh._orders, fresh._stakes, fresh._alike = None, {}, {}
    return fresh


@settings(max_examples=40)
@given(data=st.data())
def test_a_book_that_remembers_shows_what_one_shows_that_looks_anew(data: st.DataObject) -> None:
    world = World(WIDE)
    strategy = world.intent(1, Side.BUY, 1).strategy_id
    world.book.limits |= {scope: scoped(scope) for scope in (f"strategy:{strategy}", "symbol:X")}
    for _ in range(data.draw(st.integers(5, 20))):
        one_step(world, data, groups=True)
        probes: list[OrderIntent | ModifyIntent] = [
            world.intent(contract, side, 5) for contract in (1, 2) for side in Side
        ]
        going = world.pick(lambda each: not world.orders[each].done)
        probes += [world.change_of(each, 7) for each in going[:2]]

        for each in probes:
            seen = world.book.seen_from(each, SEEN)

            assert seen == forgetful(world.book).seen_from(each, SEEN)
            assert seen == Book(**vars(seen)), "nothing that a book has not"


@settings(max_examples=40)
@given(data=st.data())
def test_a_decision_is_made_as_if_every_field_had_been_judged(data: st.DataObject) -> None:
    world = World(WIDE)
    world.book.limits["symbol:X"] = scoped("symbol:X")
    for _ in range(data.draw(st.integers(1, 8))):
        one_step(world, data, groups=True)
    decision = world.propose(world.intent(1, data.draw(st.sampled_from(Side)), data.draw(st.integers(1, 3000))))
    judged = RiskDecision.model_validate(dict(decision))

    assert decision.to_json() == judged.to_json() == RiskDecision.model_validate_json(decision.to_json()).to_json()
    assert decision == judged
    for made in (decision, decision.basis, *decision.basis.scopes):
        assert list(made.__dict__) == list(type(made).model_fields), "a record has its fields in this order"
        assert made == type(made).model_construct(**dict(made))


def test_a_basis_leaves_out_no_field() -> None:
    times = {"type", "event_time", "ingest_time"}

    assert set(RiskBasis.model_fields) == {*_SAME, *times, "decided_at", "gross_exposure", "scopes"}
    assert set(ScopeBasis.model_fields) == {*_SAME_SCOPE, *times}


@given(st.text())
def test_an_id_is_the_uuid_of_its_name(name: str) -> None:
    assert named(NAMESPACE_URL, name) == str(uuid5(NAMESPACE_URL, name)) == named(NAMESPACE_URL, name.encode())
