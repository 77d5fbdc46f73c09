"""What the gateway's next order id says about ours."""

import pytest

from consumers.executor.order_ids import UsedIds


@pytest.mark.parametrize(
    ("next_id", "accepted", "halts"),
    [
        (101, 0, False),
        (100, 0, True),
        (1, 0, True),
        (1, 100, False),
        (1, 99, True),
    ],
)
def test_a_count_that_fell_back_halts_unless_it_was_accepted_up_to_there(
    next_id: int, accepted: int, halts: bool
) -> None:
    trouble = UsedIds(10, 100, accepted).trouble(next_id)

    assert (trouble is not None) is halts
    if trouble is not None:
        assert f"offers {next_id} next" in trouble
        assert "--accept-order-ids" in trouble, "it says what to do"


def test_a_count_that_fell_back_proves_of_no_order_that_it_never_arrived_accepted_or_not() -> None:
    assert not UsedIds(10, 100, 100).trusts(100)
    assert UsedIds(10, 100, 0).trusts(101)


def test_a_client_that_never_traded_has_nothing_to_fall_back_from() -> None:
    assert UsedIds(10, 0, 0).trouble(1) is None
