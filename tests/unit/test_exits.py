"""Exits as the executor sees them: none is larger than what it leaves, and no two of one order could both fill."""

from dataclasses import replace
from decimal import Decimal

from consumers.executor.exits import too_small, unfit_beside, unfit_family
from consumers.executor.tracking import Tracked
from engine.order_facts import Ended, Executed
from schemas.orders import OrderIntent, OrderStatus, Side
from tests.builders import a_change, an_intent
from tests.unit.test_tracked_orders import an_order

D = Decimal


def an_exit(name: str, quantity: int = 100, **terms: object) -> OrderIntent:
    fields = {"side": Side.SELL, "order_type": "STP", "stop_price": D(430), "parent_id": "entry"}
    return an_intent(intent_id=name, quantity=D(quantity), **(fields | terms))


def an_entry(quantity: int = 100) -> Tracked:
    return an_order(an_intent(intent_id="entry", quantity=D(quantity), order_type="LMT", limit_price=D(440)))


def test_an_exit_hangs_on_what_is_as_large_and_on_nothing_smaller() -> None:
    entry = an_entry()
    assert not unfit_beside(entry, an_exit("stop"), [entry])
    assert unfit_beside(entry, an_exit("stop", 101), [entry])
    shrinking = entry.asked_to_become(a_change(an_intent(intent_id="entry", quantity=D(60))))
    assert unfit_beside(shrinking, an_exit("stop", 61), [shrinking]), "it may come to sixty"
    assert not unfit_beside(entry, an_exit("more", 500, side=Side.BUY), [entry]), "this one leaves nothing"


def test_after_its_parent_an_exit_is_no_larger_than_what_has_filled() -> None:
    entry = an_entry().with_([Executed("x", 1, D(40), D(440)), Ended(OrderStatus.CANCELED)])
    assert unfit_beside(entry, an_exit("stop", 41), [])
    assert not unfit_beside(entry, an_exit("stop", 40), [])


def test_exits_of_one_order_share_a_group() -> None:
    entry = an_entry()
    stop, grouped = an_order(an_exit("stop")), an_order(an_exit("stop", oca_group="out"))
    assert unfit_beside(entry, an_exit("target"), [entry, stop]) == "it and stop could both fill"
    assert unfit_beside(entry, an_exit("target", oca_group="other"), [entry, grouped])
    assert not unfit_beside(entry, an_exit("target", oca_group="out"), [entry, grouped])
    assert not unfit_beside(entry, an_exit("stop", 90), [entry, stop]), "an order is not beside itself"
    ended = stop.with_([Ended(OrderStatus.CANCELED)])
    assert not unfit_beside(entry, an_exit("target"), [entry, ended])


def test_an_entry_is_not_made_smaller_than_its_exit() -> None:
    entry, stop = an_entry(), an_order(an_exit("stop", 80))
    smaller = an_intent(intent_id="entry", quantity=D(79))
    assert too_small(entry, smaller, [entry, stop]) == "its exit stop is for 80"
    assert not too_small(entry, smaller.revised(quantity=D(80)), [entry, stop])
    growing = replace(stop, facts=stop.asked_to_become(a_change(an_exit("stop", 90))).facts)
    assert too_small(entry, smaller.revised(quantity=D(80)), [entry, growing])


def test_the_legs_of_a_bracket_fit_their_entry_and_each_other() -> None:
    entry = an_intent(intent_id="entry")
    stop, target = (an_exit(name, oca_group="out") for name in ("stop", "target"))
    assert not unfit_family([entry, stop, target])
    assert not unfit_family([entry, an_exit("stop")])
    assert unfit_family([entry, stop, an_exit("target", 101, oca_group="out")]) == "leg target is larger than its entry"
    assert unfit_family([entry, an_exit("stop"), an_exit("target")])
