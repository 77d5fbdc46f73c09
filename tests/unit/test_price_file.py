"""A person's own prices as columns."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from infra.errors import UsageError
from producers.cli.price_file import read_prices, read_sizes
from schemas.moments import to_datetime

ROWS = """time,open,high,low,close,volume
2013-02-28,444.05,447.87,441.40,441.40,80532300
2013-02-27,448.43,452.44,440.65,444.57,146674800
2013-03-01,438.00,438.18,429.98,430.47,137899000
"""


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "AAPL.csv"
    path.write_text(text)
    return path


def test_days_come_out_in_order_and_last_as_long_as_their_sessions(tmp_path: Path) -> None:
    columns = read_prices(_written(tmp_path, ROWS), "AAPL")

    assert columns.close.tolist() == [444.57, 441.40, 430.47]
    assert to_datetime(int(columns.start_us[0])) == datetime(2013, 2, 27, 14, 30, tzinfo=UTC)
    assert to_datetime(int(columns.end_us[0])) == datetime(2013, 2, 27, 21, 0, tzinfo=UTC)
    assert columns.symbol(columns.contracts[0]) == "AAPL"


def test_sessions_are_those_of_the_exchange_that_is_named_and_may_be_told_by_their_opens(tmp_path: Path) -> None:
    sydney = read_prices(_written(tmp_path, ROWS), "BHP:ASX")
    summer = (
        ROWS.replace("02-27", "03-08T14:30:00Z").replace("02-28", "03-11T13:30:00Z").replace("03-01", "03-12T13:30Z")
    )
    opens = read_prices(_written(tmp_path, summer), "AAPL")

    assert to_datetime(int(sydney.start_us[0])) == datetime(2013, 2, 26, 23, 0, tzinfo=UTC)
    ends = [to_datetime(each) for each in opens.end_us.tolist()]
    assert ends == [datetime(2013, 3, day, hour, tzinfo=UTC) for day, hour in ((8, 21), (11, 20), (12, 20))]


def test_days_on_which_the_exchange_was_closed_are_days_of_another_one(tmp_path: Path) -> None:
    columns = read_prices(_written(tmp_path, ROWS.replace("2013-03-01", "2013-03-02")), "AAPL")

    assert to_datetime(int(columns.start_us[0])) == datetime(2013, 2, 27, tzinfo=UTC)
    assert to_datetime(int(columns.end_us[0])).date() == datetime(2013, 2, 27, tzinfo=UTC).date()


def test_what_is_known_of_a_bar_beside_its_prices_is_read(tmp_path: Path) -> None:
    path = tmp_path / "exported.parquet"
    frame = pl.read_csv(_written(tmp_path, ROWS), try_parse_dates=True).rename({"time": "start"})
    frame.with_columns(
        end=pl.col("start").cast(pl.Datetime("us")).dt.offset_by("16h"), source=pl.lit("ib")
    ).write_parquet(path)

    columns = read_prices(path, "AAPL")

    assert columns.sources == ("ib",)
    assert to_datetime(int(columns.end_us[0])) == datetime(2013, 2, 27, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2013-02-28T14:30:00Z", "2013-02-28T14:31:00Z"),
        ("2013-02-28T09:30:00-05:00", "2013-02-28T09:31:00-05:00"),
        ("2013-02-28 14:30:00", "2013-02-28 14:31:00"),
    ],
)
def test_minutes_may_be_written_in_many_ways(tmp_path: Path, first: str, second: str) -> None:
    rows = f"time,open,high,low,close,volume\n{first},1,2,1,2,5\n{second},2,3,2,3,5\n"

    columns = read_prices(_written(tmp_path, rows), "AAPL")

    assert to_datetime(int(columns.start_us[0])) == datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
    assert (columns.end_us - columns.start_us).tolist() == [60_000_000, 60_000_000]


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    csv = _written(tmp_path, ROWS)
    parquet = tmp_path / "AAPL.parquet"
    pl.read_csv(csv, try_parse_dates=True).write_parquet(parquet)

    assert read_prices(parquet, "AAPL").digest() == read_prices(csv, "AAPL").digest()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "time,open,high,low,last,volume\n",
            "has no column close: its header has to be time,",
        ),
        ("time,open,high,low,close,volume\n", "holds no bars"),
        (ROWS.replace("441.40,441.40", "441.40,999"), "outside low..high"),
        (ROWS.replace("2013-02-28", "yesterday"), "holds a time that is none"),
        (ROWS.replace("2013-02-28", "2013-02-27"), "holds two bars of one time"),
        (ROWS.replace("444.05", "many"), "holds a price or volume that is no number"),
        (ROWS.replace("444.05", ""), "open is not a finite number"),
        ("", "cannot be read: it is empty, its header has to be time,"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(UsageError) as failure:
        read_prices(_written(tmp_path, text), "AAPL")

    assert line in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_file_of_two_symbols_is_refused_however_they_lie_and_one_of_a_named_symbol_is_read(tmp_path: Path) -> None:
    frame = pl.read_csv(_written(tmp_path, ROWS))
    several: dict[str, dict[str, list[str | None]]] = {
        "one": {"symbol": ["AAA", "AAA", "BBB"]},
        "half": {"symbol": ["AAA", None, "AAA"]},
        "sizes": {"symbol": ["AAA", "BBB", "BBB"], "bar_size": ["1d", "1h", "1h"]},
    }
    for name, added in several.items():
        path = tmp_path / f"{name}.parquet"
        frame.with_columns(**{key: pl.Series(values) for key, values in added.items()}).write_parquet(path)
        with pytest.raises(
            UsageError, match=r"more than one symbol \(AAA, (BBB|none at all)\): write those of each to"
        ):
            read_sizes(path, "AAA")

    named = frame.with_columns(symbol=pl.lit("AAA"))
    named.write_csv(tmp_path / "AAA.csv")
    assert read_prices(tmp_path / "AAA.csv", "AAA").close.tolist() == [444.57, 441.40, 430.47]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*nothing\.csv"):
        read_prices(tmp_path / "nothing.csv", "AAPL")
