"""Prices in another basis: computed as of a moment, there and back, whatever basis they came in."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest

from infra.adjustment import AdjustmentError, Known, adjusted, in_force
from infra.columns import frame_of
from infra.gateway_simulator.market.bars import Span
from infra.served_history import Plan, WantedHistory
from infra.splits import split_in
from infra.store.coverage import StoredSeries
from schemas.corporate import ActionOrigin, CorporateAction, Dividend, Split
from schemas.market import Basis
from tests.builders import APPLE, SEEN, a_contract, a_historical_bar
from tests.unit.test_gateway_simulator_bars import NEW_YORK, candles

DAY = timedelta(days=1)
EX = datetime(2005, 2, 28, 5, tzinfo=UTC)


def a_split(**changes: Any) -> Split:
    fields = {
        "event_time": EX,
        "ingest_time": SEEN,
        "contract_id": APPLE,
        "symbol": "AAPL",
        "ex_date": date(2005, 2, 28),
        "origin": ActionOrigin.PERSON,
        "by": "me",
        "new_shares": 2,
        "old_shares": 1,
    }
    return Split(**(fields | changes))


def a_dividend(day: int, amount: float, **changes: Any) -> Dividend:
    fields = a_split().model_dump(exclude={"type", "new_shares", "old_shares", "answers_since"})
    moment = EX + day * DAY
    return Dividend(
        **(fields | {"event_time": moment, "ex_date": moment.date(), "amount": amount, "currency": "USD"} | changes)
    )


def bars(
    closes: list[float], *, basis: Basis = Basis.SPLIT_ADJUSTED, seen: datetime = SEEN, first: int = -3
) -> pl.DataFrame:
    """A daily bar for each close; the first one `first` days from the split."""
    return frame_of(
        a_historical_bar(
            start=EX + (first + n) * DAY + timedelta(hours=9.5),
            event_time=EX + (first + n) * DAY + timedelta(hours=16),
            bar_size=DAY,
            open=close,
            high=round(close * 1.01, 2),
            low=round(close * 0.99, 2),
            close=close,
            volume=1000.0,
            basis=basis,
            ingest_time=seen,
        )
        for n, close in enumerate(closes)
    )


def known(frame: pl.DataFrame, *actions: CorporateAction, basis: Basis = Basis.SPLIT_ADJUSTED) -> Known:
    return Known(actions, int(frame["end_us"].max()), frame, basis)  # type: ignore[arg-type] # polars types max() by no column type


def closes(frame: pl.DataFrame) -> list[float]:
    return [round(close, 9) for close in frame["close"]]


TRADED = [88.0, 90.0, 89.0, 44.0, 45.0]
DIVIDED = [44.0, 45.0, 44.5, 44.0, 45.0]


def test_what_came_divided_is_traded_prices_again_before_the_split_only() -> None:
    stored = bars(DIVIDED)
    raw = adjusted(stored, Basis.RAW, known(stored, a_split()))

    assert closes(raw) == TRADED
    assert raw["volume"].to_list() == [500.0, 500.0, 500.0, 1000.0, 1000.0]
    assert raw["basis"].unique().to_list() == ["raw"]
    assert closes(adjusted(raw, Basis.SPLIT_ADJUSTED, known(raw, a_split(), basis=Basis.RAW))) == DIVIDED


def test_a_bar_that_came_before_the_split_was_not_divided_yet() -> None:
    early = bars(TRADED[:2], seen=EX - 30 * DAY)
    late = bars(DIVIDED[2:], seen=EX + 30 * DAY, first=-1)
    stored = pl.concat([early, late])

    assert closes(adjusted(stored, Basis.SPLIT_ADJUSTED, known(stored, a_split()))) == DIVIDED
    assert closes(adjusted(stored, Basis.RAW, known(stored, a_split()))) == TRADED


def test_a_gateway_with_a_market_time_of_its_own_is_judged_by_when_its_answers_changed() -> None:
    early, late = bars(TRADED[:3], seen=SEEN), bars(DIVIDED[3:], seen=SEEN + DAY, first=0)
    stored = pl.concat([early, late])
    split = a_split(answers_since=SEEN + DAY, ingest_time=SEEN + DAY)

    assert closes(adjusted(stored, Basis.SPLIT_ADJUSTED, known(stored, split))) == DIVIDED


def test_a_split_to_come_changes_nothing() -> None:
    stored = bars(TRADED[:3])
    assert closes(adjusted(stored, Basis.SPLIT_ADJUSTED, known(stored, a_split()))) == TRADED[:3]
    assert closes(adjusted(stored, Basis.RAW, known(stored, a_split()))) == TRADED[:3]


def test_dividends_reduce_what_was_before_them_by_their_part_of_the_close() -> None:
    stored = bars([100.0, 100.0, 100.0, 50.0, 50.0], basis=Basis.RAW)
    actions = (a_split(), a_dividend(-1, 10.0), a_dividend(1, 5.0))
    total = adjusted(stored, Basis.TOTAL_RETURN, known(stored, *actions, basis=Basis.RAW))

    assert closes(total) == pytest.approx([40.5, 40.5, 45.0, 45.0, 50.0])
    assert total["volume"].to_list() == [2000.0, 2000.0, 2000.0, 1000.0, 1000.0]


@pytest.mark.parametrize("stored_in", Basis)
@pytest.mark.parametrize("wanted", Basis)
def test_every_basis_can_be_had_from_every_other(stored_in: Basis, wanted: Basis) -> None:
    traded = bars([100.0, 104.0, 96.0, 50.0, 52.0], basis=Basis.RAW)
    actions = (a_split(), a_dividend(-1, 10.0), a_dividend(1, 5.0))
    by_hand = known(traded, *actions, basis=Basis.RAW)
    stored = adjusted(traded, stored_in, by_hand)

    found = adjusted(stored, wanted, known(stored, *actions, basis=stored_in))

    assert closes(found) == pytest.approx(closes(adjusted(traded, wanted, by_hand)))


PAID = {
    "AAPL": {date(2012, 8, 9): 2.65, date(2012, 11, 7): 2.65, date(2013, 2, 7): 2.65},
    "IBM": {
        date(2012, 2, 8): 0.75,
        date(2012, 5, 8): 0.85,
        date(2012, 8, 8): 0.85,
        date(2012, 11, 7): 0.85,
        date(2013, 2, 6): 0.85,
    },
}


@pytest.mark.parametrize("symbol", PAID)
@pytest.mark.parametrize("today", [date(2012, 8, 31), date(2013, 2, 28)])
def test_total_returns_are_what_the_gateway_calls_adjusted_last_on_any_day(symbol: str, today: date) -> None:
    first, now = NEW_YORK.session(date(2012, 1, 3)), NEW_YORK.session(today)
    traded, adjusted_last = (
        candles(symbol, Span(first.open, now.close, 86_400, what, now.close)) for what in ("TRADES", "ADJUSTED_LAST")
    )
    stored = frame_of(
        a_historical_bar(
            start=datetime.fromtimestamp(bar.start, UTC),
            event_time=datetime.fromtimestamp(NEW_YORK.session(bar.day).close, UTC),
            bar_size=DAY,
            **{name: getattr(bar, name) for name in ("open", "high", "low", "close")},
            volume=float(bar.volume),
        )
        for bar in traded
    )
    paid = [
        a_dividend(0, amount, event_time=moment, ingest_time=moment, ex_date=moment.date())
        for moment, amount in ((datetime.combine(day, time(5), UTC), amount) for day, amount in PAID[symbol].items())
    ]
    actions = in_force(paid, SEEN, datetime.fromtimestamp(now.close, UTC))

    total = adjusted(stored, Basis.TOTAL_RETURN, known(stored, *actions))

    rounded = 2.5e-4  # the source of the real days rounds its factors; a dividend is twenty times that
    assert closes(total) == pytest.approx([bar.close for bar in adjusted_last], rel=rounded)
    assert total["open"].to_list() == pytest.approx([bar.open for bar in adjusted_last], rel=rounded)
    assert adjusted_last[0].close < traded[0].close * (1 - 10 * rounded), "there is something to adjust"


def test_a_dividend_that_cannot_be_is_refused() -> None:
    stored = bars([10.0, 10.0, 10.0, 5.0])
    with pytest.raises(AdjustmentError, match="dividend of 50 on 2005-02-27"):
        adjusted(stored, Basis.TOTAL_RETURN, known(stored, a_split(), a_dividend(-1, 50.0)))


def test_corrections_hold_from_when_they_were_known() -> None:
    wrong = a_split(new_shares=3)
    right = a_split(revision=1, ingest_time=SEEN + DAY)
    gone = a_split(revision=2, ingest_time=SEEN + 2 * DAY, canceled=True)
    every = [gone, wrong, right]

    assert in_force(every, SEEN + 9 * DAY, SEEN - DAY) == []
    assert in_force(every, SEEN + 9 * DAY, SEEN) == [wrong]
    assert in_force(every, SEEN + 9 * DAY, SEEN + DAY) == [right]
    assert in_force(every, SEEN + 9 * DAY) == []
    assert in_force([wrong], EX - DAY, None) == [], "known, but not in effect"


# a changed past


def test_a_changed_past_shows_its_split() -> None:
    found = split_in(bars(TRADED[:4]), bars(DIVIDED))

    assert found is not None
    assert (found.new_shares, found.old_shares, found.bars) == (2, 1, 3)
    assert found.first_us == found.last_us == bars(DIVIDED)["start_us"][3]
    later = split_in(bars(TRADED[:3]), bars(DIVIDED))
    assert later is not None
    assert (later.first_us, later.last_us) == tuple(bars(DIVIDED)["start_us"][3:5]), "the day is not certain"


def test_a_split_shows_too_when_the_answer_ends_right_before_it() -> None:
    following = bars(DIVIDED[3:], first=0)
    found = split_in(bars(TRADED[:3]), bars(DIVIDED[:3]), following)

    assert found is not None
    assert (found.new_shares, found.old_shares, found.bars) == (2, 1, 3)
    assert found.first_us == found.last_us == following["start_us"][0]
    undivided = bars(TRADED[:1], first=0)
    assert split_in(bars(TRADED[:3]), bars(DIVIDED[:3]), undivided) is None, "the split comes later"
    divided = following.with_columns(revision=pl.lit(1, following["revision"].dtype))
    assert split_in(bars(TRADED[:3]), bars(DIVIDED[:3]), divided) is None, "its own answer has told the split"
    assert split_in(bars(TRADED[:3]), bars(DIVIDED[:3]), following.clear()) is None


@pytest.mark.parametrize(("new", "old"), [(3, 2), (7, 1), (1, 10), (20, 1)])
def test_ratios_are_told_from_prices_in_cents(new: int, old: int) -> None:
    past = [651.26, 640.11, 645.57, 650.02, 648.0]
    after = [round(price * old / new, 2) for price in past]

    found = split_in(bars(past), bars([*after, after[-1]]))

    assert found is not None
    assert (found.new_shares, found.old_shares) == (new, old)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (TRADED, TRADED),
        (TRADED[:3], [44.0, 46.0, 44.5, 44.0]),
        (TRADED[:3], DIVIDED[:3]),
        (TRADED[:3], [44.0, 90.0, 44.5, 44.0]),
        (TRADED[:3], [80.0, 82.0, 81.0, 80.0]),
        ([], DIVIDED),
    ],
    ids=["nothing changed", "one differs", "nothing after it", "one is unchanged", "no ratio", "nothing known"],
)
def test_other_changes_are_no_split(before: list[float], now: list[float]) -> None:
    assert split_in(bars(before), bars(now)) is None


@pytest.mark.parametrize(
    ("stored", "wanted", "lacking", "enough"),
    [
        ("split_adjusted", "raw", "no split of AAPL is", a_split()),
        ("raw", "split_adjusted", "no split of AAPL is", a_split()),
        ("split_adjusted", "total_return", "no dividend of AAPL is", a_dividend(1, 0.5)),
        ("raw", "total_return", "no split or dividend of AAPL is", a_split()),
        ("raw", "raw", "", None),
    ],
)
def test_prices_that_no_action_on_record_tells_from_the_stored_ones_come_with_a_warning(
    stored: str, wanted: str, lacking: str, enough: CorporateAction | None
) -> None:
    asked = WantedHistory(a_contract(), 86_400, Basis(wanted), SEEN)
    known = Known([], 0, pl.DataFrame(), Basis(stored))
    plan = Plan(asked, StoredSeries(APPLE, 86_400, basis=stored), EX, EX + DAY, known, None)

    assert lacking in plan.warning
    assert plan.warning.endswith(f"they are as they are stored, {stored}" if lacking else "")
    if enough is not None:
        assert not replace(plan, known=replace(known, actions=[enough])).warning
    else:
        assert not plan.warning
