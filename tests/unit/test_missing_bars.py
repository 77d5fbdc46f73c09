"""Bars that were missed: no more wait to read history than there is room for."""

import asyncio

import pytest

from infra.service import Service
from infra.settings import Settings
from producers.market_data.missing import LOOKS_MAX, BarsMissingError, MissingBars, Stretch
from tests.builders import APPLE, NOON, SEEN

STRETCH = Stretch(APPLE, NOON, NOON, SEEN)


async def test_who_comes_when_all_places_are_taken_is_refused_at_once() -> None:
    missing = MissingBars(Service("market_data", Settings()), str)
    waiting = [asyncio.ensure_future(missing.look_up(STRETCH)) for _ in range(LOOKS_MAX)]
    await asyncio.sleep(0)

    with pytest.raises(BarsMissingError, match=f"{LOOKS_MAX} others wait already"):
        await missing.look_up(STRETCH)

    assert not any(each.done() for each in waiting), "those that came before go on waiting"
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
