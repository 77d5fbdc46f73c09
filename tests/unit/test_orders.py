"""An order's status follows from the set of what is known: order and repetition of messages do not matter."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.order_facts import (
    Acknowledged,
    CancelRequested,
    ChangeAnswered,
    ChangeRequested,
    Ended,
    Executed,
    Fact,
    FilledAfterEnd,
    Lost,
    NeverArrived,
    Reported,
    Sized,
    Unanswered,
)
from engine.orders import OrderFacts
from schemas.orders import OrderStatus

D = Decimal
FRESH = OrderFacts(D(100))


def known(*facts: Fact) -> OrderFacts:
    result = FRESH
    for fact in facts:
        result = result.with_(fact)
    return result


def fill(number: int, quantity: int, revision: int = 1, price: str = "10") -> Executed:
    return Executed(f"exec.{number}", revision, D(quantity), D(price))


@pytest.mark.parametrize(
    ("facts", "status", "cumulative"),
    [
        ([], OrderStatus.SENDING, 0),
        ([Acknowledged(7)], OrderStatus.NEW, 0),
        ([Acknowledged(7), fill(1, 40)], OrderStatus.PARTIALLY_FILLED, 40),
        ([fill(1, 40), fill(2, 60)], OrderStatus.FILLED, 100),
        ([Reported(D(100))], OrderStatus.FILLED, 100),
        ([CancelRequested()], OrderStatus.SENDING, 0),
        ([Acknowledged(), CancelRequested()], OrderStatus.PENDING_CANCEL, 0),
        ([Acknowledged(), CancelRequested(), fill(1, 100)], OrderStatus.FILLED, 100),
        ([Ended(OrderStatus.CANCELED)], OrderStatus.CANCELED, 0),
        ([fill(1, 40), Ended(OrderStatus.CANCELED)], OrderStatus.CANCELED, 40),
        ([Ended(OrderStatus.CANCELED), fill(1, 40)], OrderStatus.CANCELED, 40),
        ([Ended(OrderStatus.CANCELED), fill(1, 100)], OrderStatus.FILLED, 100),
        ([Ended(OrderStatus.CANCELED), Ended(OrderStatus.REJECTED, 201, "no")], OrderStatus.REJECTED, 0),
        ([Ended(OrderStatus.REJECTED, 201, "no"), Acknowledged(7)], OrderStatus.REJECTED, 0),
        ([NeverArrived(OrderStatus.EXPIRED, "lost")], OrderStatus.EXPIRED, 0),
        ([NeverArrived(OrderStatus.EXPIRED, "lost"), Acknowledged(7)], OrderStatus.NEW, 0),
        ([Lost("where is it")], OrderStatus.UNKNOWN, 0),
        ([Lost("where is it"), fill(1, 40)], OrderStatus.PARTIALLY_FILLED, 40),
        ([fill(1, 100), fill(1, 90, revision=2)], OrderStatus.PARTIALLY_FILLED, 90),
        ([fill(1, 100), fill(1, 0, revision=2), Reported(D(100))], OrderStatus.NEW, 0),
        ([Reported(D(60)), fill(1, 40)], OrderStatus.PARTIALLY_FILLED, 60),
    ],
)
def test_a_status_follows_from_the_facts(facts: list[Fact], status: OrderStatus, cumulative: int) -> None:
    order = known(*facts)
    assert (order.status, order.cumulative) == (status, D(cumulative))
    assert known(*reversed(facts)).status is status


def test_a_correction_replaces_and_moves_the_average() -> None:
    order = known(fill(1, 40, price="10"), fill(2, 60, price="20"), fill(2, 60, revision=2, price="21"))
    assert order.cumulative == 100
    assert order.average_price == D("16.6")


def test_what_the_broker_counts_but_has_not_sent_is_missing() -> None:
    assert known(Reported(D(60)), fill(1, 40)).missing == 20
    assert known(Reported(D(60)), fill(1, 40), fill(2, 20)).missing == 0


def test_a_correction_downwards_leaves_nothing_missing() -> None:
    assert known(Reported(D(100)), fill(1, 100), fill(1, 90, revision=2)).missing == 0


def test_more_than_was_ordered_is_noticed() -> None:
    assert known(fill(1, 60), fill(2, 60)).overfilled
    assert not known(fill(1, 40), fill(2, 60)).overfilled


def test_a_refused_order_with_a_fill_is_a_contradiction_and_not_done() -> None:
    order = known(Ended(OrderStatus.REJECTED, 201, "no"), fill(1, 40))
    assert order.contradictory
    assert not order.status.final


def test_the_strongest_end_explains() -> None:
    order = known(Ended(OrderStatus.CANCELED), Ended(OrderStatus.CANCELED, 202, "Order Canceled"))
    assert order.explanation == (202, "Order Canceled")
    assert known(Lost("where is it")).explanation == (0, "where is it")
    late = known(Ended(OrderStatus.CANCELED, 202, "Order Canceled"), fill(1, 100), FilledAfterEnd(OrderStatus.CANCELED))
    assert (late.status, late.explanation) == (
        OrderStatus.FILLED,
        (202, "it was filled after it had been told as CANCELED"),
    )
    assert OrderFacts.from_json(late.to_json()) == late
    assert known(NeverArrived(OrderStatus.REJECTED, "duplicate", 103)).explanation == (103, "duplicate")


RAISED = ChangeRequested("c-1", D(150))
LOWERED = ChangeRequested("c-1", D(40))
REFUSED = ChangeAnswered("c-1", 104, "Cannot modify a filled order.")


@pytest.mark.parametrize(
    ("facts", "status", "quantity"),
    [
        ([RAISED], OrderStatus.NEW, 100),
        ([RAISED, fill(1, 100)], OrderStatus.PARTIALLY_FILLED, 100),
        ([RAISED, fill(1, 100), REFUSED], OrderStatus.FILLED, 100),
        ([RAISED, Sized(D(150)), ChangeAnswered("c-1"), fill(1, 100)], OrderStatus.PARTIALLY_FILLED, 150),
        ([RAISED, Sized(D(150)), ChangeAnswered("c-1"), fill(1, 150)], OrderStatus.FILLED, 150),
        ([LOWERED, fill(1, 40)], OrderStatus.PARTIALLY_FILLED, 100),
        ([LOWERED, fill(1, 40), Sized(D(40)), ChangeAnswered("c-1")], OrderStatus.FILLED, 40),
        ([Sized(D(60)), fill(1, 60)], OrderStatus.FILLED, 60),
        ([CancelRequested(), Unanswered("three cancels")], OrderStatus.UNKNOWN, 100),
        ([CancelRequested(), Unanswered("three cancels"), Ended(OrderStatus.CANCELED)], OrderStatus.CANCELED, 100),
        ([RAISED, Unanswered("three changes")], OrderStatus.UNKNOWN, 100),
        ([RAISED, Unanswered("three changes"), REFUSED], OrderStatus.NEW, 100),
    ],
)
def test_an_order_that_may_have_changed_is_not_done_before_both_sizes_are(
    facts: list[Fact], status: OrderStatus, quantity: int
) -> None:
    order = known(Acknowledged(7), *facts)
    assert (order.status, order.quantity) == (status, D(quantity))
    assert OrderFacts.from_json(order.to_json()) == order


def test_a_change_is_answered_once_and_its_refusal_explains_until_the_next() -> None:
    refused = known(Acknowledged(7), RAISED, REFUSED)
    assert (refused.last_change, refused.explanation) == ("c-1", (104, "Cannot modify a filled order."))
    assert refused.with_(RAISED) == refused.with_(REFUSED) == refused
    assert refused.with_(fill(1, 100)).explanation == refused.explanation
    again = refused.with_(ChangeRequested("c-2", D(50))).with_(ChangeAnswered("c-2"))
    assert (again.last_change, again.explanation) == ("c-2", (0, ""))


def test_a_change_that_comes_while_another_is_on_its_way_is_answered_after_it() -> None:
    order = known(Acknowledged(7), RAISED, ChangeRequested("c-2", D(900)))
    assert (order.most, order.last_change, order.explanation) == (D(150), "", (0, "a change of it is on its way"))
    assert OrderFacts.from_json(order.to_json()) == order
    answered = order.with_(ChangeAnswered("c-1"))
    assert (answered.last_change, answered.most) == ("c-2", D(100))
    assert "another change" in answered.explanation[1]


def test_a_cancellation_without_a_word_may_turn_out_to_be_an_expiry() -> None:
    over = Ended(OrderStatus.EXPIRED, 202, "expired at the close")
    assert known(Ended(OrderStatus.CANCELED), over).status is OrderStatus.EXPIRED
    assert known(Ended(OrderStatus.CANCELED, 202, "by a trader"), over).status is OrderStatus.CANCELED


def test_orders_that_were_stored_before_changes_existed_are_read() -> None:
    stored = FRESH.to_json()
    for name in ("change", "last_change", "unanswered"):
        del stored[name]
    assert OrderFacts.from_json(stored) == FRESH


facts_of_one_order = st.lists(
    st.one_of(
        st.builds(Acknowledged, st.integers(0, 3)),
        st.builds(Reported, st.integers(0, 120).map(Decimal)),
        # one revision of one execution always says the same
        st.tuples(st.integers(1, 3), st.integers(1, 3)).map(lambda p: fill(p[0], p[0] * 10 + p[1], p[1], str(p[1]))),
        st.just(CancelRequested()),
        st.builds(Ended, st.sampled_from([OrderStatus.CANCELED, OrderStatus.REJECTED]), st.sampled_from([0, 201])),
        st.builds(NeverArrived, st.just(OrderStatus.EXPIRED), st.sampled_from(["a", "b"])),
        st.builds(Lost, st.sampled_from(["a", "b"])),
        st.builds(FilledAfterEnd, st.sampled_from([OrderStatus.CANCELED, OrderStatus.EXPIRED])),
    ),
    max_size=12,
)


@given(facts=facts_of_one_order, data=st.data())
def test_any_order_and_any_repetition_of_the_same_messages_ends_in_the_same_state(
    facts: list[Fact], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(facts), max_size=6)) if facts else []
    shuffled = data.draw(st.permutations([*facts, *again]))
    assert known(*shuffled) == known(*facts)


@given(facts=facts_of_one_order)
def test_facts_survive_storage(facts: list[Fact]) -> None:
    order = known(*facts)
    assert OrderFacts.from_json(order.to_json()) == order


@given(facts=facts_of_one_order)
def test_without_corrections_the_filled_quantity_never_falls(facts: list[Fact]) -> None:
    order = FRESH
    for fact in facts:
        if isinstance(fact, Executed) and fact.revision > 1:
            continue
        after = order.with_(fact)
        assert after.cumulative >= order.cumulative
        order = after
