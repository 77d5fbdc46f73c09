"""What is decoded in our own way is what the library makes of it; what cannot be decoded is said so."""

from typing import Any

import pytest

from infra.gateway.library import Library, MalformedMessageError, PastRows, load

_BAR = ["1362061800", "440.1", "441.0", "439.5", "440.2", "1200", "440.15", "17"]
_HEAD = ["17", "9", "20130228 09:30:00", "20130228 16:00:00"]


@pytest.fixture
async def library() -> Library:
    return load("ib_insync")


async def test_bars_of_the_past_come_by_column_as_the_library_reads_them(library: Library) -> None:
    fields = [*_HEAD, "2", *_BAR, "20130301", "1e3", "1e3", "-1", "inf", "-1.0", "0", "0"]
    theirs = library.decoder(176)
    super(library.decoder, theirs).historicalData(fields)
    bars: list[Any] = [arguments[1] for name, arguments in theirs.collector.take() if name == "historicalData"]

    (name, (number, rows)), end = library.decoder(176).decode(fields)

    assert (name, number, end) == ("historicalData", 9, ("historicalDataEnd", (9, *_HEAD[2:])))
    assert rows.dates == [bar.date for bar in bars]
    for column in PastRows._fields[1:]:
        assert getattr(rows, column).tolist() == [getattr(bar, column) for bar in bars]


async def test_no_bars_are_an_answer_too(library: Library) -> None:
    (_, (_, rows)), _ = library.decoder(176).decode([*_HEAD, "0"])

    assert [len(column) for column in rows] == [0] * 6


@pytest.mark.parametrize(
    "rest",
    [["2", *_BAR], ["1", *_BAR[:-1]], ["-1"], ["x", *_BAR], ["1", "1362061800", "", *_BAR[2:]], []],
    ids=["fewer bars than said", "a bar cut short", "fewer than none", "no count", "a price left out", "cut before it"],
)
async def test_half_an_answer_is_none(library: Library, rest: list[str]) -> None:
    with pytest.raises(MalformedMessageError):
        library.decoder(176).decode([*_HEAD, *rest])
