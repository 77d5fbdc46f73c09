"""A backtest over bars of several sizes: the smallest drives it, larger ones are seen once they have closed."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from consumers.api.backtests import BacktestIn
from engine import answer
from engine.column_path import quickest
from engine.columns import BarColumns
from engine.facts import Bar
from engine.indicators import sma
from engine.material import FRAMES, Material, with_larger
from engine.options import BacktestError
from engine.strategy import BaseStrategy, StrategySignal
from infra.errors import UsageError
from producers.cli.asked_backtest import sizes_of
from producers.cli.price_file import read_files, read_sizes
from producers.cli.running_backtest import PriceFiles, run_file
from schemas.moments import to_datetime
from tests.bars import APPLE, bars_of, columns_of, random_bars
from tests.unit.test_answer import a_request

DAY, HALF_HOUR = timedelta(days=1), timedelta(minutes=30)


class DaysAndHalfHours(BaseStrategy):
    """Long while the half hour closes above the last closed day."""

    def indicators(self) -> None:
        self.day = self.declare(sma, "close", 1, frame="1d")

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        return StrategySignal.target(bar.contract_id, 1.0 if bar.close > self.day.now else 0.0)


def a_market() -> tuple[BarColumns, BarColumns]:
    """Half hours, and days that are not made of them."""
    days = bars_of([20.0 + number % 3 / 10 for number in range(12)])
    small = [
        Bar(APPLE, start, start + 1_800_000_000, each.open, each.high, each.low, each.close, 1.0)
        for number, day in enumerate(days)
        for each, start in zip(random_bars(number, 13), range(day.start_us, day.end_us, 1_800_000_000), strict=True)
    ]
    return columns_of(small), columns_of(days)


def rows_of(columns: BarColumns, size: str = "") -> list[str]:
    return [
        f"{each.start.isoformat()},{each.end.isoformat()},{each.open},{each.high},{each.low},{each.close},{each.volume}"
        + (f",{size}" if size else "")
        for each in columns.bars()
    ]


HEADER = "time,end,open,high,low,close,volume"


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))
    for module in ("engine.answer", "producers.cli.running_backtest"):
        monkeypatch.setattr(f"{module}.strategy_class", lambda name: DaysAndHalfHours)


def test_two_files_and_one_file_of_two_sizes_give_what_the_columns_give(tmp_path: Path) -> None:
    small, days = a_market()
    one, two, both = tmp_path / "AAPL.csv", tmp_path / "days.csv", tmp_path / "both.csv"
    one.write_text("\n".join([HEADER, *rows_of(small)]))
    two.write_text("\n".join([HEADER, *rows_of(days)]))
    both.write_text("\n".join([f"{HEADER},bar_size", *rows_of(days, "1d"), *rows_of(small, "30m")]))
    material = with_larger(Material(small), {DAY: days})

    whole = answer.answer(a_request(), material.columns, market=material.market)
    files = run_file(a_request(), PriceFiles(two, more=(one,)))
    file = run_file(a_request(), PriceFiles(both))

    assert len(whole.executions) > 10
    assert files.result_hash == file.result_hash == whole.result_hash
    assert files.data_digest == file.data_digest != run_file(a_request(), PriceFiles(one)).data_digest
    assert (file.request.bar_size, file.request.larger_bar_sizes) == (HALF_HOUR, (DAY,))
    assert FRAMES in file.warnings
    assert file.bars == len(small), "the smallest drive the run"


def test_the_larger_bars_are_those_of_the_time_asked_for(tmp_path: Path) -> None:
    small, days = a_market()
    both = tmp_path / "both.csv"
    both.write_text("\n".join([f"{HEADER},bar_size", *rows_of(days, "1d"), *rows_of(small, "30m")]))
    late = a_request(start=to_datetime(int(days.start_us[6])))

    done = run_file(late, PriceFiles(both))

    cut = with_larger(Material(answer.chosen(late, small)), {DAY: answer.chosen(late, days)})
    assert done.result_hash == answer.answer(late, cut.columns, market=cut.market).result_hash
    assert done.fills[0]["time"] > to_datetime(int(days.end_us[6])).isoformat(), "the first day is known once it closed"


def test_by_whichever_way_is_quicker_the_result_is_that_of_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    small, days = a_market()
    material = with_larger(Material(small), {DAY: days})
    slow = answer.answer(a_request(), small, market=material.market)

    monkeypatch.setattr(quickest, "BARS_LEAST", 1)

    assert answer.answer(a_request(), small, market=material.market).result_hash == slow.result_hash


def test_sizes_that_a_file_has_not_or_has_twice_are_refused(tmp_path: Path) -> None:
    small, days = a_market()
    one, two = tmp_path / "AAPL.csv", tmp_path / "days.csv"
    one.write_text("\n".join([HEADER, *rows_of(small)]))
    two.write_text("\n".join([f"{HEADER},bar_size", *rows_of(days, "fortnight")]))

    with pytest.raises(UsageError, match="no bars of 5m in the file: it has 30m"):
        run_file(a_request(), PriceFiles(one, sizes=(timedelta(minutes=5), DAY)))
    with pytest.raises(UsageError, match="bars of 30m are in another file already"):
        run_file(a_request(), PriceFiles(one, more=(one,)))
    with pytest.raises(UsageError, match="a bar_size of 'fortnight'"):
        run_file(a_request(), PriceFiles(two))


HOURS = ("14:30", "15:00", "16:00", "17:00", "18:00", "19:00", "20:00")
SAID = "time,open,high,low,close,volume"


def _starting(times: Sequence[str], days: Sequence[int] = (7, 8), size: str = "") -> list[str]:
    return [f"2013-01-0{day}T{time}:00Z,1,2,1,2,5{size}" for day in days for time in times]


def _half_hours() -> list[str]:
    return [f"{hour}:{minute}" for hour in range(14, 21) for minute in ("00", "30")][1:]


def _ends(columns: BarColumns) -> list[str]:
    return [f"{to_datetime(each):%H:%M}" for each in columns.end_us.tolist()]


def test_an_hour_that_began_late_ends_with_its_hour_and_no_other_ends_before_its_own(tmp_path: Path) -> None:
    file = tmp_path / "both.csv"
    both = [*_starting(HOURS, size=",1h"), *_starting(_half_hours(), size=",30m"), *_starting(["16:00"], [9], ",4h")]
    file.write_text("\n".join([f"{SAID},bar_size", *both]))

    found = read_sizes(file, "AAPL")

    assert _ends(found[timedelta(hours=1)]) == [*HOURS[1:], "21:00"] * 2
    assert _ends(found[HALF_HOUR]) == [*_half_hours()[1:], "21:00"] * 2
    assert _ends(found[timedelta(hours=4)]) == ["20:00"], "a single one lasts as long too"


def test_of_files_that_do_not_tell_their_sizes_those_are_taken_that_were_named_or_they_are_refused(
    tmp_path: Path,
) -> None:
    hours, halves, days = tmp_path / "hours.csv", tmp_path / "halves.csv", tmp_path / "days.csv"
    hours.write_text("\n".join([SAID, *_starting(HOURS)]))
    halves.write_text("\n".join([SAID, *_starting(_half_hours())]))
    days.write_text("\n".join([SAID, "2013-01-07,1,2,1,2,5", "2013-01-08,1,2,1,2,5"]))
    sizes = (HALF_HOUR, timedelta(hours=1), DAY)

    read = dict(read_files((days, hours, halves), "AAPL", sizes))

    assert [[*each] for each in read.values()] == [[DAY], [timedelta(hours=1)], [HALF_HOUR]]
    assert _ends(read[hours][timedelta(hours=1)]) == [*HOURS[1:], "21:00"] * 2
    assert [[*each] for _, each in read_files((days, halves), "AAPL", ())] == [[DAY], [HALF_HOUR]]
    for others, named in (((halves,), ()), ((halves, days), sizes[:2])):
        with pytest.raises(UsageError, match="does not tell how long its bars last: give it a column end"):
            read_files((hours, *others), "AAPL", named)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_that_name_different_symbols_are_refused_with_both_names(tmp_path: Path, suffix: str) -> None:
    hours, days, others, unnamed = (tmp_path / f"{name}.{suffix}" for name in ("hours", "days", "others", "unnamed"))
    rows = pl.DataFrame({"time": ["2013-01-07", "2013-01-08"], "open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0})
    rows = rows.with_columns(volume=5.0)
    smaller = rows.with_columns(time=pl.Series(["2013-01-07T15:00:00Z", "2013-01-07T16:00:00Z"]))
    texts = ((hours, smaller, "AAPL"), (days, rows, "AAPL"), (others, rows, "MSFT"), (unnamed, rows, ""))
    for path, frame, name in texts:
        told = frame.with_columns(symbol=pl.lit(name)) if name else frame
        told.write_csv(path) if suffix == "csv" else told.write_parquet(path)

    assert len(read_files((hours, days), "AAPL", ())) == len(read_files((hours, unnamed), "AAPL", ())) == 2
    with pytest.raises(UsageError, match=f"hours.{suffix} has bars of AAPL, .*others.{suffix} of MSFT: several files"):
        read_files((hours, others), "AAPL", ())


def test_the_size_that_is_named_is_that_of_the_file_or_it_is_refused(tmp_path: Path) -> None:
    hours, told = tmp_path / "hours.csv", tmp_path / "told.csv"
    hours.write_text("\n".join([SAID, *_starting(HOURS)]))
    ends = dict(zip(HOURS, [*HOURS[1:], "21:00"], strict=True))
    rows = [f"2013-01-07T{start}:00Z,2013-01-07T{end}:00Z,1,2,1,2,5" for start, end in ends.items()]
    told.write_text("\n".join([HEADER, *rows]))
    for file in (hours, told):
        _, material = PriceFiles(file, sizes=(timedelta(hours=1),)).read(a_request())
        assert _ends(material.columns)[:7] == [*HOURS[1:], "21:00"]
        with pytest.raises(UsageError, match="no bars of 5m in the file"):
            PriceFiles(file, sizes=(timedelta(minutes=5),)).read(a_request())


def test_sizes_are_told_by_commas_or_as_a_list_in_any_order() -> None:
    assert sizes_of("1d, 5m") == (timedelta(minutes=5), DAY)
    assert sizes_of("") == ()
    with pytest.raises(UsageError, match="no bars of size '7m'"):
        sizes_of("1d,7m")

    body = BacktestIn.model_validate({"strategy": "buy_and_hold", "symbols": ["AAPL"], "bar_size": ["1d", "5m"]})
    assert body.bar_size == (timedelta(minutes=5), DAY)
    assert body.model_dump(mode="json")["bar_size"] == ["5m", "1d"]
    single = BacktestIn.model_validate({"strategy": "buy_and_hold", "symbols": ["AAPL"], "bar_size": "5m"})
    assert single.model_dump(mode="json")["bar_size"] == "5m"
    with pytest.raises(ValidationError, match="5s, 1m, 1h or 1d"):
        BacktestIn.model_validate({"strategy": "buy_and_hold", "symbols": ["AAPL"], "bar_size": [5]})


def test_sizes_beside_ascend_from_the_one_that_drives() -> None:
    with pytest.raises(BacktestError, match="ascend in size"):
        answer.check(a_request(larger_bar_sizes=(DAY,)))
    with pytest.raises(BacktestError, match="ascend in size"):
        answer.check(a_request(bar_size=HALF_HOUR, larger_bar_sizes=(7 * DAY, DAY)))
