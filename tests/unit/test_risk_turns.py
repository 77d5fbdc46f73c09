"""Whoever is at risk's books takes turns."""

import asyncio

import pytest

from consumers.risk.turns import Turns


async def test_who_has_long_work_sees_that_somebody_waits_and_gets_his_turn_back_behind_him() -> None:
    turns = Turns()
    order: list[str] = []

    async def decide() -> None:
        for number in range(2):
            async with turns.taken():
                while not turns.wanted and not number:  # whoever waits does not wake who works
                    await asyncio.sleep(0)
                order.append(f"decided {number}")

    async def fold() -> None:
        async with turns.taken():
            order.append("folded")

    deciding = asyncio.create_task(decide())
    await asyncio.sleep(0)
    assert not turns.wanted
    await asyncio.wait_for(asyncio.gather(deciding, fold()), 30)

    assert order == ["decided 0", "folded", "decided 1"]
    assert not turns.wanted


async def test_a_turn_ends_with_the_failure_of_who_has_it_and_who_gives_up_waits_no_more() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="broken"):
        async with turns.taken():
            raise ValueError("broken")

    async with turns.taken():
        waiting = asyncio.create_task(turns.taken().__aenter__())
        await asyncio.sleep(0)
        assert turns.wanted
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not turns.wanted
