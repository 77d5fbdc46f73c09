"""The rules of data quality: what each finds, and that whole answers and live bars get the same verdicts."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.columns import frame_of
from infra.quality import measures
from infra.quality.findings import WARNINGS_MAX, NotReleasableError, bar_of, empty_answer, findings_of
from infra.quality.frames import Judged, judge
from infra.quality.hours import TradingHours
from infra.quality.measures import Prices
from infra.quality.rules import RULES, WINDOW, Effect
from infra.quality.stream import BarJudge, Series
from schemas.market import Basis, HistoricalBar, PriceKind, QuarantineRule, Severity
from tests.builders import APPLE, NOON, SEEN, a_historical_bar
from tests.integration.a_data_shelf import real_days

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, DAY = 60, 86_400
OPENING = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
NEW_YORK = TradingHours.of("NASDAQ")
MINUTES = Series(MINUTE)
DAYS = Series(DAY)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def minutes(count: int, first: datetime = OPENING) -> list[Prices]:
    """Calm bars in a row, no two the same."""
    start = us(first)
    return [
        Prices(
            start + n * 60_000_000,
            start + (n + 1) * 60_000_000,
            440.0 + n % 3 / 10,
            440.5 + n % 3 / 10,
            439.9,
            440.1,
            1000.0 + n,
        )
        for n in range(count)
    ]


def days(count: int, first: datetime = OPENING) -> list[Prices]:
    assert NEW_YORK is not None
    sessions = NEW_YORK._calendar.sessions(first.date(), first.date() + timedelta(days=2 * count + 10))[:count]
    calm = minutes(count)
    return [
        bar._replace(start_us=us(session.open), end_us=us(session.close), high=bar.open + 5, low=bar.open - 5)
        for bar, session in zip(calm, sessions, strict=True)
    ]


def scaled(bar: Prices, factor: float) -> Prices:
    opening, high, low, close = (price * factor for price in bar[2:6])
    return Prices(bar.start_us, bar.end_us, opening, high, low, close, bar.volume)


def frame(bars: list[Prices]) -> pl.DataFrame:
    schema = {name: pl.Int64 if name.endswith("_us") else pl.Float64 for name in Prices._fields}
    return pl.DataFrame(bars, schema=schema, orient="row")


def rules_of(judged: Judged) -> list[tuple[int, QuarantineRule]]:
    return [(row, found.rule) for row, found in judged.found]


def by_both_ways(bars: list[Prices], series: Series, now_us: int | None = None) -> Judged:
    """The verdict on the frame, after the live judge has agreed in every word."""
    judged = judge(frame(bars), series, now_us=now_us)
    live = BarJudge(series)
    told = [(row, found) for row, bar in enumerate(bars) for found in live.judge(bar, now_us)]
    assert told == list(judged.found)
    return judged


def last_found(bars: list[Prices], series: Series, now_us: int | None = None) -> QuarantineRule | None:
    found = rules_of(by_both_ways(bars, series, now_us))
    assert all(row == len(bars) - 1 for row, _ in found), found
    assert len(found) <= 1
    return found[0][1] if found else None


def test_calm_bars_in_their_session_have_nothing_to_be_found() -> None:
    assert by_both_ways(minutes(390), Series(MINUTE, NEW_YORK)).found == ()
    assert by_both_ways(days(260), Series(DAY, NEW_YORK)).found == ()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"close": math.nan}, QuarantineRule.NOT_FINITE),
        ({"volume": -1.0}, QuarantineRule.NEGATIVE_SIZE),
        ({"low": 440.2}, QuarantineRule.OHLC_RANGE),
        ({"high": 1400.0}, QuarantineRule.BAD_PRINT),
        ({"low": 1.0}, QuarantineRule.BAD_PRINT),
        ({"high": 480.0}, QuarantineRule.SPIKE),
        ({"volume": 0.0}, QuarantineRule.ZERO_VOLUME),
        ({"start_us": us(OPENING), "end_us": us(OPENING)}, QuarantineRule.OUT_OF_ORDER),
        ({"high": 442.0}, None),
    ],
)
def test_one_bar_that_differs_is_found(changes: dict[str, Any], rule: QuarantineRule | None) -> None:
    bars = minutes(30)
    assert last_found([*bars[:-1], bars[-1]._replace(**changes)], MINUTES) is rule


def test_the_same_bar_again_is_dropped_and_another_of_its_start_kept_out() -> None:
    bars = minutes(3)
    repeated = by_both_ways([*bars, bars[-1]], MINUTES)
    contradicted = by_both_ways([*bars, bars[-1]._replace(close=440.2)], MINUTES)

    assert rules_of(repeated) == [(3, QuarantineRule.DUPLICATE)]
    assert rules_of(contradicted) == [(3, QuarantineRule.CONTRADICTION)]
    assert len(repeated.passing) == len(contradicted.passing) == 3
    assert repeated.kept_out() == []


def test_a_bar_from_the_future_or_from_no_session_is_kept_out() -> None:
    bars = minutes(5)
    now = bars[-1].end_us - 61_000_000
    assert last_found(bars, MINUTES, now) is QuarantineRule.FROM_THE_FUTURE
    assert last_found(bars, MINUTES, now + 1_000_000) is None
    wrong_zone = minutes(5, OPENING - timedelta(hours=5))
    judged = by_both_ways(wrong_zone, Series(MINUTE, NEW_YORK))
    assert rules_of(judged) == [(row, QuarantineRule.OUTSIDE_SESSION) for row in range(5)]
    assert judged.passing.is_empty()


def test_a_day_that_is_no_session_is_kept_out() -> None:
    holiday = days(1)[0]._replace(start_us=us(datetime(2013, 3, 29, 13, 30, tzinfo=UTC)))
    holiday = holiday._replace(end_us=holiday.start_us + 23_400_000_000)
    assert last_found([holiday], Series(DAY, NEW_YORK)) is QuarantineRule.OUTSIDE_SESSION


def test_three_bars_that_are_all_the_same_are_stale_once() -> None:
    bars = minutes(20)
    same = [bar._replace(open=440.0, high=440.0, low=440.0, close=440.0, volume=7.0) for bar in bars[10:15]]
    assert rules_of(by_both_ways([*bars[:10], *same, *bars[15:]], MINUTES)) == [(12, QuarantineRule.STALE)]


def test_missing_bars_are_found_within_a_session_and_over_sessions_but_no_pause_is() -> None:
    series = Series(MINUTE, NEW_YORK)
    bars = minutes(390)
    tomorrow = minutes(390, OPENING + timedelta(days=1))
    assert rules_of(by_both_ways([*bars[:100], *bars[103:]], series)) == [(100, QuarantineRule.GAP)]
    assert by_both_ways([*bars, *tomorrow], series).found == ()
    assert by_both_ways([*bars[:-5], *tomorrow[5:]], series).found == ()
    assert rules_of(by_both_ways([*bars[:-20], *tomorrow], series)) == [(370, QuarantineRule.GAP)]


def test_a_missing_session_is_found_a_weekend_and_a_holiday_are_not() -> None:
    easter = days(40, datetime(2013, 3, 20, 13, 30, tzinfo=UTC))
    assert by_both_ways(easter, Series(DAY, NEW_YORK)).found == ()
    assert rules_of(by_both_ways([*easter[:3], *easter[5:]], Series(DAY, NEW_YORK))) == [(3, QuarantineRule.GAP)]


def after_a_split(ratio: float) -> list[Prices]:
    bars = days(30)
    after = [scaled(bar, 1 / ratio) for bar in bars[15:]]
    return [*bars[:15], *after]


@pytest.mark.parametrize("ratio", [2.0, 1.5, 7.0, 0.1])
def test_a_split_is_told_once_and_keeps_nothing_out(ratio: float) -> None:
    judged = by_both_ways(after_a_split(ratio), DAYS)
    assert rules_of(judged) == [(15, QuarantineRule.SPLIT_LIKE)]
    assert "2 for 1" in judged.found[0][1].reason or ratio != 2
    assert len(judged.passing) == 30


def test_a_split_after_a_rise_is_told_by_the_close_before_it() -> None:
    real = real_days(date(2005, 1, 3), date(2005, 3, 9), basis=Basis.RAW)
    bars = [Prices(*row) for row in real.select(Prices._fields).iter_rows()]

    ((place, rule),) = rules_of(by_both_ways(bars, DAYS))

    assert (real["start_us"][place], rule) == (us(datetime(2005, 2, 28, 14, 30, tzinfo=UTC)), "split_like")


@pytest.mark.parametrize(
    ("new", "old", "explains"), [(2, 1, True), (3, 1, False), (1, 2, False), (203, 100, True), (7, 4, False)]
)
def test_a_split_explains_a_jump_by_its_ratio(new: float, old: float, explains: bool) -> None:
    jump = measures.split(after_a_split(2.0)[15], days(30)[14].close)
    assert jump is not None
    assert measures.split_explains(jump.reason, new / old) is explains


def test_a_price_of_another_currency_unit_is_no_split_and_the_bars_after_it_pass() -> None:
    bars = days(30)
    pence = scaled(bars[15], 100)
    judged = by_both_ways([*bars[:15], pence, *bars[16:]], DAYS)
    assert rules_of(judged) == [(15, QuarantineRule.BAD_PRINT)]
    assert len(judged.passing) == 29


def test_a_crash_keeps_out_its_first_bar_at_most() -> None:
    bars = days(40)
    crashed = [scaled(bar, 0.23) for bar in bars[20:]]
    judged = by_both_ways([*bars[:20], *crashed], DAYS)
    assert [row for row, _ in judged.kept_out()] == [20]


def test_quotes_have_no_volume_and_that_is_no_finding() -> None:
    bars = [bar._replace(volume=0.0) for bar in minutes(10)]
    assert by_both_ways(bars, Series(MINUTE, price_kind=PriceKind.MIDPOINT)).found == ()


prices = st.sampled_from([100.0, 100.5, 101.0, 99.0, 50.0, 200.0, 330.0, 33.0, 0.0, -5.0, math.nan, math.inf])


@st.composite
def doubtful(draw: st.DrawFn) -> list[Prices]:
    """A walk of bars, some of which were tampered with, repeated, swapped or left out."""
    size = draw(st.sampled_from([5, MINUTE, DAY]))
    bars: list[Prices] = []
    moment = us(OPENING) if size == DAY else us(OPENING + timedelta(hours=6))
    for n in range(draw(st.integers(1, 60))):
        opening = 100.0 + draw(st.integers(-3, 3)) / 4
        close = opening + draw(st.integers(-2, 2)) / 4
        high, low = max(opening, close) + draw(st.integers(0, 1)) / 4, min(opening, close)
        volume = float(draw(st.sampled_from([0, 7, 7, 100 + n])))
        length = 23_400_000_000 if size == DAY else size * 1_000_000
        bars.append(Prices(moment, moment + length, opening, high, low, close, volume))
        moment += draw(st.sampled_from([1, 1, 1, 1, 0, 2, 40, -1])) * size * 1_000_000
    for _ in range(draw(st.integers(0, 6))):
        row = draw(st.integers(0, len(bars) - 1))
        name = draw(st.sampled_from(Prices._fields[2:]))
        value = draw(prices)
        if draw(st.booleans()):
            bars[row] = Prices(**{**bars[row]._asdict(), name: value})
        else:  # a whole bar at another level
            factor = draw(st.sampled_from([0.01, 0.1, 0.25, 0.5, 2.0, 3.5, 100.0]))
            bars[row] = scaled(bars[row], factor)
    return bars


@settings(max_examples=300, deadline=None)
@given(bars=doubtful(), hours=st.booleans(), now=st.none() | st.integers(-60, 6000))
def test_live_bars_get_the_verdicts_of_the_whole_frame(bars: list[Prices], hours: bool, now: int | None) -> None:
    size = 5 if bars[0].end_us - bars[0].start_us == 5_000_000 else MINUTE
    size = DAY if bars[0].end_us - bars[0].start_us > 3_600_000_000 else size
    series = Series(size, NEW_YORK if hours else None)
    now_us = None if now is None else us(OPENING) + now * 60_000_000
    judged = by_both_ways(bars, series, now_us)
    assert judged.passing.filter(~pl.all_horizontal(pl.col(Prices._fields[2:]).is_finite())).is_empty()


def test_parts_of_an_answer_get_the_verdicts_of_the_whole() -> None:
    dice = np.random.default_rng(1)
    bars = minutes(380)
    for row in dice.integers(0, 380, 25):
        bars[row] = bars[row]._replace(high=bars[row].high * float(dice.choice([1.1, 4.0])))
    whole = judge(frame(bars), MINUTES)
    parts = [
        judge(frame(bars[n : n + 95]), MINUTES, before=frame(bars[max(0, n - 2 * WINDOW) : n]))
        for n in range(0, 380, 95)
    ]
    told = [(row + 95 * number, found) for number, part in enumerate(parts) for row, found in part.found]
    assert told == list(whole.found)
    assert len(told) > 10


# findings


def test_every_rule_has_its_line_in_the_table() -> None:
    assert set(RULES) == set(QuarantineRule)
    assert {(rule.severity, rule.effect) for rule in RULES.values()} == {
        (Severity.ERROR, Effect.KEPT_OUT),
        (Severity.WARNING, Effect.PASSES),
        (Severity.WARNING, Effect.DROPPED),
    }


def collected(*bars: HistoricalBar) -> pl.DataFrame:
    return frame_of(bars)


def test_a_finding_keeps_the_bar_so_that_it_can_be_released_as_it_was() -> None:
    calm = [a_historical_bar(start=NOON + timedelta(seconds=5 * n), volume=9.0 + n) for n in range(3)]
    wild = a_historical_bar(start=NOON + timedelta(seconds=15), high=4415.0)
    bars = collected(*calm, wild)

    (finding,) = findings_of(judge(bars, Series(5)), bars, "AAPL")

    assert (finding.rule, finding.severity) == (QuarantineRule.BAD_PRINT, Severity.ERROR)
    assert (finding.event_time, finding.ingest_time, finding.contract_id) == (wild.event_time, SEEN, APPLE)
    assert bar_of(finding.quarantine_id, finding.record, SEEN) == wild


def test_what_can_never_be_true_is_not_released() -> None:
    bars = collected(a_historical_bar()).with_columns(close=pl.lit(math.nan))

    (finding,) = findings_of(judge(bars, Series(5)), bars, "AAPL")

    with pytest.raises(NotReleasableError, match="reject it"):
        bar_of(finding.quarantine_id, finding.record, SEEN)


def test_an_empty_answer_is_a_finding_that_holds_no_bar() -> None:
    finding = empty_answer(APPLE, "AAPL", timedelta(days=1), NOON, NOON + timedelta(days=9), SEEN)

    assert finding.rule is QuarantineRule.EMPTY_ANSWER
    assert finding == empty_answer(APPLE, "AAPL", timedelta(days=1), NOON, NOON + timedelta(days=9), SEEN)
    with pytest.raises(NotReleasableError, match="no bar"):
        bar_of(finding.quarantine_id, finding.record, SEEN)


def test_a_flood_of_warnings_has_an_end_and_a_count() -> None:
    bars = collected(
        *(a_historical_bar(start=NOON + timedelta(seconds=5 * n), volume=0.0) for n in range(WARNINGS_MAX + 7))
    )
    findings = findings_of(judge(bars, Series(5)), bars, "AAPL")

    assert len(findings) == WARNINGS_MAX
    assert findings[-1].reason.endswith("and 7 more in this answer")
