"""A reservation is released by what moved the position, whichever of two topics speaks first."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.reservations import Reservation
from schemas.orders import OrderStatus, OrderType, OrderUpdate, Side
from tests.builders import APPLE, NOON, SEEN

D = Decimal
ORDER = Reservation("intent-1", APPLE, Side.BUY, D(100))


def told(filled: int, status: OrderStatus, sequence: int) -> OrderUpdate:
    return OrderUpdate(
        order_id="intent-1", broker_order_id=1, account_id="DU1", strategy_id="s", contract_id=APPLE, symbol="AAPL",
        side=Side.BUY, quantity=D(100), order_type=OrderType.MARKET, status=status, cumulative_quantity=D(filled),
        sequence=sequence, event_time=NOON, ingest_time=SEEN,
    )  # fmt: skip


def test_an_end_that_comes_before_its_fills_keeps_room_for_them() -> None:
    ended = ORDER.with_update(told(40, OrderStatus.CANCELED, 3))
    assert (ended.remaining, ended.state) == (D(40), "ended")

    filled = ended.with_fill(D(40))
    assert (filled.remaining, filled.state) == (D(0), "released")


def test_fills_that_come_before_the_end_leave_the_rest_reserved() -> None:
    partly = ORDER.with_fill(D(40))
    assert (partly.remaining, partly.state) == (D(60), "open")
    assert partly.with_update(told(40, OrderStatus.CANCELED, 3)).state == "released"


def test_an_order_in_doubt_keeps_its_reservation() -> None:
    lost = ORDER.with_update(told(0, OrderStatus.UNKNOWN, 2))
    assert (lost.remaining, lost.state) == (D(100), "unknown")


def test_an_update_that_was_overtaken_changes_nothing() -> None:
    done = ORDER.with_update(told(100, OrderStatus.FILLED, 5))
    assert done.with_update(told(0, OrderStatus.NEW, 2)) == done
    assert done.with_update(told(0, OrderStatus.NEW, 5)) == done


@given(data=st.data())
def test_fills_and_updates_end_the_same_in_any_order(data: st.DataObject) -> None:
    fills = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=3))
    total = sum(fills)
    updates = [
        told(0, OrderStatus.NEW, 2),
        told(total, OrderStatus.PARTIALLY_FILLED, 3),
        told(total, OrderStatus.CANCELED, 4),
    ]
    news: list[int | OrderUpdate] = data.draw(st.permutations([*fills, *updates]))
    kept = ORDER
    for each in news:
        kept = kept.with_fill(D(each)) if isinstance(each, int) else kept.with_update(each)
        moved = sum(fills) if kept.ended else 100
        assert kept.remaining == max(0, moved - kept.filled)
    assert (kept.remaining, kept.state, kept.filled) == (D(0), "released", D(total))
