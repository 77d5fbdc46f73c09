"""Topics as a person names them, and records as a person reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from infra.errors import UsageError
from infra.settings import Settings
from producers.cli.records import as_document, as_line, dead_letters_of, table, to_json, topic_named

SETTINGS = Settings.model_construct(topic_prefix="scizor.")


@dataclass
class ARecord:
    value: bytes | None = b'{"close": 441.0}'
    key: bytes | None = b"265598"
    topic: str = "scizor.market.bars.v1"
    partition: int = 2
    offset: int = 17
    timestamp: int = 1_795_000_000_123
    headers: Sequence[tuple[str, bytes | None]] = ()


@pytest.mark.parametrize("name", ["market.bars.v1", "scizor.market.bars.v1"])
def test_a_topic_is_known_by_its_name_with_and_without_prefix(name: str) -> None:
    assert topic_named(name, SETTINGS).name == "market.bars.v1"


@pytest.mark.parametrize("name", ["market.bars.v1", "market.bars.v1.dlq", "scizor.market.bars.v1.dlq"])
def test_the_dead_letters_of_a_topic_are_known_by_the_topic(name: str) -> None:
    assert dead_letters_of(name, SETTINGS).name == "market.bars.v1.dlq"


def test_a_slip_of_the_pen_is_answered_with_what_was_meant() -> None:
    with pytest.raises(UsageError, match=r"no topic 'market\.bar\.v1': did you mean market\.bars\.v1\?"):
        topic_named("market.bar.v1", SETTINGS)
    with pytest.raises(UsageError, match=r"did you mean market\.bars\.v1\?"):
        dead_letters_of("market.bar.v1", SETTINGS)


def test_a_name_like_no_other_is_answered_with_where_they_are_listed() -> None:
    with pytest.raises(UsageError, match="`scizor topics list` shows them all"):
        topic_named("zzzz", SETTINGS)


def test_a_topic_that_no_group_reads_has_no_dead_letters() -> None:
    with pytest.raises(UsageError, match="no service reads it in a group"):
        dead_letters_of("strategy.journal.v1", SETTINGS)


def test_a_record_becomes_one_document_with_its_value_parsed() -> None:
    assert as_document(ARecord(headers=[("ce_id", b"7"), ("empty", None)])) == {
        "topic": "scizor.market.bars.v1",
        "partition": 2,
        "offset": 17,
        "timestamp": "2026-11-18T11:06:40.123Z",
        "key": "265598",
        "headers": {"ce_id": "7", "empty": None},
        "value": {"close": 441.0},
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"{broken", "{broken"),
        (b'{"close": NaN}', '{"close": NaN}'),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (None, None),
        (b"[" * 100_000, "[" * 100_000),
    ],
    ids=["not JSON", "not a number", "not UTF-8", "nothing", "too deep"],
)
def test_a_value_that_cannot_be_parsed_is_shown_as_text(value: bytes | None, shown: str | None) -> None:
    assert as_document(ARecord(value=value))["value"] == shown


def test_no_control_character_of_a_record_reaches_the_terminal() -> None:
    line = as_line(ARecord(value=b"\x1b[2Jgone", key=b"\x1b"))

    assert line == "2:17  2026-11-18T11:06:40.123Z  \N{REPLACEMENT CHARACTER}  \N{REPLACEMENT CHARACTER}[2Jgone"
    assert to_json(as_document(ARecord(value=b'"\\ud800 \\u009b2J"'))).isascii()


def test_a_long_record_is_cut_on_a_line() -> None:
    assert as_line(ARecord(value=b"x" * 10_000)).endswith("x...")


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    assert table([["A", "B"], ["long", "x"], ["y", "z"]]) == "A     B\nlong  x\ny     z"


def test_on_a_narrow_terminal_the_last_column_goes_on_below_or_is_cut() -> None:
    rows = [["A", "WHY"], ["x", "the gateway knows no such contract at all"]]

    assert table(rows, columns_max=30).splitlines() == [
        "A  WHY",
        "x  the gateway knows no such",
        "   contract at all",
    ]
    assert table(rows, cut=True, columns_max=30).splitlines()[1] == "x  the gateway knows no suc..."
