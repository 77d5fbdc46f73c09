"""Every kind of order from its approval to the gateway's ledger: types, times, brackets, groups, changes, cancels."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from consumers.executor import executor
from engine.risk import APPROVAL_LIFE
from infra.settings import Settings
from schemas.orders import OrderIntent, OrderStatus, OrderType, Side, TimeInForce
from schemas.resolution import Finding, OrderResolved
from tests.builders import NOON, a_cancel, a_change
from tests.integration.an_approved_desk import Desk, a_desk, an_approved_desk
from tests.integration.an_order_path import ACCOUNT, CLOCK, a_live_intent, running, until

D = Decimal
LATER = NOON + timedelta(days=1)

TYPES: dict[str, dict[str, Any]] = {
    "MKT": {},
    "LMT": {"limit_price": D("430.00")},
    "STP": {"stop_price": D("450.00")},
    "STP LMT": {"stop_price": D("450.00"), "limit_price": D("451.00")},
    "TRAIL": {"trail_amount": D("5.00")},
    "TRAIL LIMIT": {"trail_percent": D(2), "limit_offset": D("0.50"), "stop_price": D("450.00")},
    "MIT": {"stop_price": D("430.00")},
    "LIT": {"stop_price": D("430.00"), "limit_price": D("431.00")},
    "MOC": {},
    "LOC": {"limit_price": D("445.00")},
    "MTL": {},
    "REL": {"limit_price": D("441.00"), "peg_offset": D("0.02")},
}
TIMES: list[dict[str, Any]] = [
    {"time_in_force": "DAY", "outside_hours": True},
    {"time_in_force": "GTC"},
    {"time_in_force": "IOC"},
    {"time_in_force": "FOK"},
    {"time_in_force": "GTD", "good_till": LATER},
    {"time_in_force": "OPG"},
]


def an_order(name: str, kind: str = "LMT", **terms: Any) -> OrderIntent:
    return a_live_intent(
        name, intent_id=name, order_type=kind, **({"limit_price": D(430)} if kind == "LMT" else {}) | terms
    )


def a_finding(order_id: str, finding: Finding) -> OrderResolved:
    return OrderResolved(
        account_id=ACCOUNT,
        order_id=order_id,
        finding=finding,
        reason="not in TWS",
        by="ann",
        event_time=CLOCK.now(),
        ingest_time=CLOCK.now(),
    )


def a_bracket(name: str = "b") -> list[OrderIntent]:
    """Buy at the market, leave at 450 or 430, whichever comes first."""
    legs = tuple(f"{name}-{leg}" for leg in ("entry", "stop", "target"))
    family: dict[str, Any] = {"legs": legs, "parent_id": legs[0], "side": Side.SELL, "time_in_force": "GTC"}
    group = {"oca_group": f"{name}-exit", "oca_reduces": True}
    return [
        an_order(legs[0], "MKT", legs=legs),
        an_order(legs[1], "STP", stop_price=D("430.00"), **family, **group),
        an_order(legs[2], "LMT", **{**family, **group, "limit_price": D("450.00")}),
    ]


async def test_every_type_and_time_reaches_the_broker_as_it_was_approved(
    stack_settings: Settings, tmp_path: Path
) -> None:
    orders = [an_order(f"type-{number}", kind, **terms) for number, (kind, terms) in enumerate(TYPES.items())]
    orders += [an_order(f"time-{number}", quantity=D(10 + number), **terms) for number, terms in enumerate(TIMES)]
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        for order in orders:
            await desk.approve(order)
        await until(lambda: _all_told(desk, orders))

        assert desk.simulator.lines("order_refused") == []
        for order in orders:
            (line,) = desk.received(order.intent_id)
            assert (line["order_type"], line["time_in_force"]) == (order.order_type, order.time_in_force)
            assert D(line["limit_price"] or 0) == (order.limit_price or 0)
            given = (
                order.stop_price if order.trail_amount is None and order.trail_percent is None else order.trail_amount
            )
            assert D(line["auxiliary_price"] or 0) == (given or order.peg_offset or 0)
        ended = {order.intent_id: (await desk.updates(order.intent_id))[-1].status for order in orders}
        assert ended["type-0"] is OrderStatus.FILLED
        assert {ended["time-2"], ended["time-3"]} == {OrderStatus.EXPIRED}  # IOC and FOK away from the market


async def _all_told(desk: Desk, orders: list[OrderIntent]) -> bool:
    waiting = (
        "SELECT count(*) FROM orders WHERE permanent_id = 0 OR (time_in_force IN ('IOC', 'FOK') AND status = 'NEW')"
    )
    return len(desk.simulator.lines("order_received")) == len(orders) and not await desk.path.scalar(waiting)


async def test_a_bracket_goes_out_whole_and_its_exits_take_each_others_place(
    stack_settings: Settings, tmp_path: Path
) -> None:
    entry, stop, target = a_bracket()
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        await desk.approve(target, entry)  # in whatever order risk decides
        await desk.approve(stop)
        await desk.becomes("b-entry", OrderStatus.FILLED)
        await desk.becomes("b-target", OrderStatus.NEW)
        lines = desk.simulator.lines("order_received")
        assert [(line["order_ref"], line["transmit"]) for line in lines] == [
            ("b-entry", False), ("b-stop", False), ("b-target", True),
        ]  # fmt: skip
        assert [line["parent_id"] for line in lines] == [0, lines[0]["order_id"], lines[0]["order_id"]]
        desk.trades_at("450.50")
        await desk.becomes("b-target", OrderStatus.FILLED)
        await desk.becomes("b-stop", OrderStatus.CANCELED)
        assert desk.traded() == {"b-entry": D(100), "b-target": D(100)}
        assert desk.simulator.positions() == {}


async def test_a_bracket_with_a_denied_leg_is_not_sent_and_frees_what_it_reserved(
    stack_settings: Settings, tmp_path: Path
) -> None:
    entry, stop, target = a_bracket()
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        await desk.approve(entry, stop, target, unless=["b-target"])
        told = await desk.becomes("b-entry", OrderStatus.EXPIRED)
        assert "b-target of its bracket was denied" in told.reason
        await desk.becomes("b-stop", OrderStatus.EXPIRED)
        assert desk.simulator.lines("order_received") == []


async def test_half_a_bracket_whose_other_half_never_came_expires_and_is_not_sent(
    stack_settings: Settings, tmp_path: Path
) -> None:
    entry, stop, _ = a_bracket()
    async with an_approved_desk(stack_settings, tmp_path, reconcile_seconds=0.5) as desk:
        desk.life = APPROVAL_LIFE
        await desk.approve(entry, stop)
        assert (await desk.becomes("b-entry", OrderStatus.EXPIRED)).reason.startswith("expired: nobody has acted")
        await desk.becomes("b-stop", OrderStatus.EXPIRED)
        assert desk.simulator.lines("order_received") == []


async def test_a_child_joins_a_parent_that_works_and_is_refused_by_one_that_has_ended(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        await desk.approve(an_order("parent", limit_price=D("430.00")))
        await desk.becomes("parent", OrderStatus.NEW)
        child: dict[str, Any] = {"side": Side.SELL, "parent_id": "parent", "stop_price": D("420.00")}
        await desk.approve(an_order("large", "STP", quantity=D(101), **child))
        assert "101 are more than the 100" in (await desk.becomes("large", OrderStatus.EXPIRED)).reason
        assert desk.received("large") == []
        await desk.approve(an_order("child", "STP", **child))
        await desk.becomes("child", OrderStatus.NEW)
        assert desk.received("child")[0]["parent_id"] == desk.received("parent")[0]["order_id"]
        await desk.approve(a_cancel(order_id="parent"))
        await desk.becomes("child", OrderStatus.CANCELED)  # with its parent
        await desk.approve(an_order("late", "STP", quantity=D(50), **child))
        assert "its parent parent is CANCELED" in (await desk.becomes("late", OrderStatus.EXPIRED)).reason
        assert desk.received("late") == []


async def test_an_exit_is_changed_under_its_filled_parent_after_a_restart(
    stack_settings: Settings, tmp_path: Path
) -> None:
    entry, stop, target = a_bracket()
    async with a_desk(stack_settings, tmp_path) as desk:
        async with running(executor.build(desk.path.settings)):
            await desk.approve(entry, stop, target)
            await desk.becomes("b-entry", OrderStatus.FILLED)
            await desk.becomes("b-stop", OrderStatus.NEW)
        async with running(executor.build(desk.path.settings)):
            await desk.approve(a_change(stop.revised(stop_price=D("425.00"))))
            told = await desk.answered("b-stop", "change-1")
        assert (told.stop_price, told.code) == (D(425), 0)
        assert desk.received("b-stop")[-1]["parent_id"] == desk.received("b-entry")[0]["order_id"]


async def test_of_a_group_one_fills_and_the_others_go(stack_settings: Settings, tmp_path: Path) -> None:
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        await desk.approve(an_order("low", limit_price=D("430.00"), oca_group="either"))
        await desk.approve(an_order("high", "STP", stop_price=D("450.00"), oca_group="either"))
        await desk.becomes("high", OrderStatus.NEW)
        desk.trades_at("451.00")
        await desk.becomes("high", OrderStatus.FILLED)
        await desk.becomes("low", OrderStatus.CANCELED)
        assert set(desk.traded()) == {"high"}


async def test_a_working_order_is_changed_under_its_own_id(stack_settings: Settings, tmp_path: Path) -> None:
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        order = an_order("mine")
        await desk.approve(order)
        await desk.becomes("mine", OrderStatus.NEW)
        await desk.approve(a_change(order.revised(quantity=D(70), limit_price=D("445.00"))))
        told = await desk.answered("mine", "change-1")
        assert (told.quantity, told.limit_price) == (D(70), D("445"))
        await desk.becomes("mine", OrderStatus.FILLED)
        assert desk.traded() == {"mine": D(70)}
        first, second = desk.received("mine")
        assert first["order_id"] == second["order_id"]
        assert await desk.path.scalar("SELECT intent ->> 'quantity' FROM orders") == "70"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"side": Side.SELL}, "side of an order cannot be changed"),
        ({"order_type": OrderType.MARKET, "limit_price": None}, "order_type of an order cannot be changed"),
        ({"time_in_force": TimeInForce.GTC}, "time_in_force of an order cannot be changed"),
    ],
)
async def test_a_change_of_what_cannot_be_changed_is_answered_and_not_sent(
    stack_settings: Settings, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        order = an_order("mine")
        await desk.approve(order)
        await desk.becomes("mine", OrderStatus.NEW)
        await desk.approve(a_change(order.revised(**change)))
        assert why in (await desk.answered("mine", "change-1")).reason
        assert len(desk.received("mine")) == 1


async def test_a_change_that_races_the_fill_is_told_as_refused_and_nothing_fills_twice(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        order = an_order("mine")
        await desk.approve(order)
        await desk.becomes("mine", OrderStatus.NEW)
        desk.arm({"event": "placeOrder received"}, {"delay": 3.0})
        await desk.approve(a_change(order.revised(quantity=D(150))))
        await until(lambda: desk.said("mine", "a change of it is on its way"))
        desk.trades_at("429.00")
        told = await desk.answered("mine", "change-1")
        assert (told.quantity, told.code) == (D(100), 104)
        await desk.becomes("mine", OrderStatus.FILLED)
        assert desk.traded() == {"mine": D(100)}


async def test_a_change_that_the_broker_refuses_leaves_the_order_as_it_was(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        order = an_order("mine")
        await desk.approve(order)
        await desk.becomes("mine", OrderStatus.NEW)
        await desk.approve(a_change(order.revised(limit_price=D("431.001"))))
        told = await desk.answered("mine", "change-1")
        assert (told.status, told.code, told.limit_price) == (OrderStatus.NEW, 110, D(430))
        await desk.approve(a_cancel(order_id="mine"))
        await desk.becomes("mine", OrderStatus.CANCELED)


async def test_a_cancel_without_an_answer_is_asked_again_and_then_nobody_knows(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with an_approved_desk(stack_settings, tmp_path, reconcile_patience_seconds=0.2) as desk:
        await desk.approve(an_order("mine"))
        await desk.becomes("mine", OrderStatus.NEW)
        desk.arm({"event": "cancelOrder received", "times": 3}, {"drop": True})
        await desk.approve(a_cancel(order_id="mine"))
        told = await desk.becomes("mine", OrderStatus.UNKNOWN)
        assert "asked for 3 times" in told.reason
        assert desk.simulator.lines("order_ended") == []
        await desk.path.tell(a_finding("mine", Finding.WORKING))
        await desk.becomes("mine", OrderStatus.CANCELED)
        statuses = [update.status for update in await desk.updates("mine")]
        since = len(statuses) - statuses[::-1].index(OrderStatus.UNKNOWN)
        assert OrderStatus.PENDING_CANCEL in statuses[since:], "asked for anew, and heard this time"


async def test_an_order_that_got_lost_is_unknown_until_a_person_has_looked(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with an_approved_desk(stack_settings, tmp_path, reconcile_patience_seconds=0.2) as desk:
        desk.arm({"event": "placeOrder received"}, {"drop": True})
        await desk.approve(an_order("lost"), an_order("later", quantity=D(50)))
        assert "does not show the order" in (await desk.becomes("lost", OrderStatus.UNKNOWN)).reason
        await desk.path.tell(a_finding("later", Finding.NEVER_ARRIVED))  # that one is known, and stays
        await desk.path.tell(a_finding("lost", Finding.NEVER_ARRIVED))
        told = await desk.becomes("lost", OrderStatus.EXPIRED)
        assert told.reason == "ann found that it had never arrived: not in TWS"
        assert (await desk.updates("later"))[-1].status is OrderStatus.NEW


async def test_a_day_order_expires_with_the_session_of_its_exchange(stack_settings: Settings, tmp_path: Path) -> None:
    async with an_approved_desk(stack_settings, tmp_path) as desk:
        await desk.approve(an_order("day"), an_order("good", quantity=D(50), time_in_force="GTC"))
        await desk.becomes("good", OrderStatus.NEW)
        await desk.advance(6 * 3600)  # from half past ten in New York beyond four
        assert "close" in (await desk.becomes("day", OrderStatus.EXPIRED)).reason
        assert (await desk.updates("good"))[-1].status is OrderStatus.NEW
