"""Answers that take a while: whoever gives up waiting leaves no second thread behind, and what was found is kept."""

import asyncio
import threading

import pytest

from consumers.api.slow_answers import KEPT_SECONDS, SlowAnswers
from infra.clock import ManualClock
from tests.builders import SEEN


class Library:
    """Looks things up in threads of their own, when it may."""

    def __init__(self, *, closed: bool = False) -> None:
        self.looked: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.began, self.may = threading.Event(), threading.Event()
        if not closed:
            self.may.set()

    async def look(self, asked: str) -> str:
        self.looked.append(asked)
        self.threads.add(threading.current_thread())
        self.began.set()
        if asked == "nothing":
            raise LookupError(asked)
        self.may.wait(60)
        return f"all about {asked}"


async def test_whoever_gives_up_waiting_leaves_one_thread_and_its_answer_to_who_asks_next() -> None:
    library = Library(closed=True)
    answers = SlowAnswers(library.look, ManualClock(SEEN), patience_seconds=0.05)
    try:
        for asked in ("profit", "profit", "losses"):
            with pytest.raises(TimeoutError):
                await answers.of(asked)
            assert await asyncio.to_thread(library.began.wait, 30)
        assert library.looked == ["profit"], "the next one is let in when the thread has ended"
    finally:
        library.may.set()

    async with asyncio.timeout(30):
        while True:
            try:
                assert await answers.of("profit") == "all about profit"
                break
            except TimeoutError:
                continue
    assert library.looked == ["profit"]
    assert threading.current_thread() not in library.threads


async def test_what_many_ask_for_at_once_is_looked_for_once_and_again_when_it_is_old() -> None:
    library, clock = Library(), ManualClock(SEEN)
    answers = SlowAnswers(library.look, clock)

    assert set(await asyncio.gather(*(answers.of("profit") for _ in range(5)))) == {"all about profit"}
    clock.advance(KEPT_SECONDS)
    await answers.of("profit")
    assert library.looked == ["profit"]
    clock.advance(1)
    await answers.of("profit")
    assert library.looked == ["profit", "profit"]


async def test_a_failure_is_told_to_who_asked_and_holds_up_nobody() -> None:
    library = Library()
    answers = SlowAnswers(library.look, ManualClock(SEEN))

    for _ in range(2):
        with pytest.raises(LookupError):
            await answers.of("nothing")
    assert await answers.of("profit") == "all about profit"
    assert library.looked == ["nothing", "nothing", "profit"]
