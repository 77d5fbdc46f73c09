"""Which request is in whose hands, and how long the rest will take."""

from typing import Any

import pytest

from consumers.backtester.colleagues import SILENT_SECONDS, Colleagues
from consumers.backtester.pace import Pace
from infra.clock import ManualClock
from schemas.backtest import BacktestProgress
from tests.builders import SEEN


def a_word(**changes: Any) -> BacktestProgress:
    fields = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "backtest_id": "one",
        "phase": "running",
        "bars_done": 5,
        "bars_total": 10,
        "asked_at": "0/7",
        "worker": "another",
    }
    return BacktestProgress(**(fields | changes))


@pytest.mark.parametrize(
    ("word", "who"),
    [
        (a_word(), "another"),
        (a_word(worker="me"), None),
        (a_word(finished=True), None),
        (a_word(backtest_id="two"), None),
        (a_word(worker=""), None),
    ],
)
def test_what_another_process_works_on_is_left_to_it(word: BacktestProgress, who: str | None) -> None:
    colleagues = Colleagues(ManualClock(SEEN), "me")

    colleagues.hear(word)

    assert colleagues.at_work("one") == who


def listen(colleagues: Colleagues, clock: ManualClock, seconds: int) -> None:
    """Time passes while we run."""
    for _ in range(seconds * 2):
        clock.advance(0.5)
        colleagues.look()


def test_what_nobody_speaks_of_any_more_is_taken_over_and_a_word_in_time_keeps_it() -> None:
    clock = ManualClock(SEEN)
    colleagues = Colleagues(clock, "me")
    colleagues.hear(a_word())
    listen(colleagues, clock, int(SILENT_SECONDS) - 1)
    colleagues.hear(a_word(phase="reporting"))
    listen(colleagues, clock, int(SILENT_SECONDS) - 1)
    assert colleagues.at_work("one") == "another"

    listen(colleagues, clock, 1)

    assert colleagues.at_work("one") is None


def test_a_pause_of_our_own_is_nobody_elses_silence() -> None:
    clock = ManualClock(SEEN)
    colleagues = Colleagues(clock, "me")
    colleagues.hear(a_word())

    clock.advance(10 * SILENT_SECONDS)  # stopped, and its words wait to be read

    assert colleagues.at_work("one") == "another"
    listen(colleagues, clock, int(SILENT_SECONDS))
    assert colleagues.at_work("one") is None, "it really has fallen silent"


def test_only_the_record_that_was_finished_is_not_done_again() -> None:
    colleagues = Colleagues(ManualClock(SEEN), "me")
    colleagues.hear(a_word(finished=True))

    assert colleagues.is_done("one", "0/7")
    assert not colleagues.is_done("one", "0/8"), "the same request was sent once more"
    assert not colleagues.is_done("two", "0/7")


def test_who_began_and_never_ended_is_counted_until_the_request_is_sent_anew_or_done() -> None:
    colleagues = Colleagues(ManualClock(SEEN), "me")
    for worker in ("first", "second", "first", "me"):
        colleagues.hear(a_word(worker=worker))
    assert colleagues.died_over("one", "0/7") == 2
    assert colleagues.died_over("one", "0/8") == colleagues.died_over("two", "0/7") == 0

    colleagues.hear(a_word(worker="third", finished=True))

    assert colleagues.died_over("one", "0/7") == 0
    colleagues.hear(a_word(worker="fourth", asked_at="0/8"))
    assert colleagues.died_over("one", "0/8") == 1


def test_the_rest_takes_as_long_as_the_rate_so_far_says() -> None:
    clock = ManualClock(SEEN)
    pace = Pace(clock)
    assert pace.eta_seconds(100, 1_000) is None
    clock.advance(0.4)
    assert pace.eta_seconds(150, 1_000) is None, "too early to say"
    clock.advance(1.6)

    assert pace.eta_seconds(300, 1_000) == 7.0
    assert pace.eta_seconds(1_000, 1_000) == 0.0
    assert Pace(clock).eta_seconds(0, 0) is None
