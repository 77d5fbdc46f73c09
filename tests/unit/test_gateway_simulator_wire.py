"""Frames and fields as clients of several makes send them."""

import asyncio
from decimal import Decimal

import pytest

from infra.gateway_simulator.history.past_request import RequestError, moment_of
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.contracts import Asked
from infra.gateway_simulator.protocol.wire import (
    FRAME_MAX,
    Fields,
    WireError,
    encode,
    read_hello,
    read_message,
    text_of,
)


@pytest.mark.parametrize(
    "text", ["", "1.7976931348623157e+308", "1.7976931348623157E308", "2147483647", "9223372036854775807"]
)
def test_all_spellings_of_unset_are_unset(text: str) -> None:
    assert Fields([text]).number() is None
    assert Fields([text]).whole(7) == 7


@pytest.mark.parametrize(("text", "value"), [("100", 100), ("100.0", 100), ("1e2", 100), ("0.0", 0), ("-5", -5)])
def test_numbers_come_with_and_without_decimals(text: str, value: int) -> None:
    assert Fields([text]).number() == value
    assert Fields([text]).whole() == value


@pytest.mark.parametrize("text", ["abc", "nan", "1e999999", "1e-999999", "0x10"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        Fields([text]).number()


def test_infinity_is_a_large_number() -> None:
    found = [Fields([text]).number() or 0 for text in ("Infinite", "Infinity")]

    assert min(found) > 10**300


def test_missing_fields_read_as_unset() -> None:
    fields = Fields(["1"])
    fields.skip(3)

    assert (fields.text(), fields.number(), fields.flag()) == ("", None, False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.1, "0.1"),
        (438.1799, "438.1799"),
        (Decimal("1E+2"), "100"),
        (Decimal("0.00"), "0"),
        (True, "1"),
        (-1, "-1"),
        ("", ""),
    ],
)
def test_values_are_written_without_needless_decimals(value: float | Decimal | bool | str, text: str) -> None:
    assert text_of(value) == text


def test_every_field_ends_with_a_nul_and_other_alphabets_are_escaped() -> None:
    assert encode((9, "é", "")) == b"\0\0\0\x0a" + b"9\0\\u00e9\0\0"


async def heard(*chunks: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for chunk in chunks:
        reader.feed_data(chunk)
    reader.feed_eof()
    return reader


@pytest.mark.parametrize(
    ("offer", "versions"),
    [(b"v100..176", (100, 176)), (b"v157..178 +PACEAPI", (157, 178)), (b"v176", (176, 176))],
)
async def test_a_hello_offers_versions(offer: bytes, versions: tuple[int, int]) -> None:
    assert await read_hello(await heard(b"AP", b"I\0\0\0\0", bytes([len(offer)]), offer)) == versions


@pytest.mark.parametrize(
    "sent", [b"HELO\0\0\0\x01v", b"API\0\0\0\0\x03abc", b"API\0" + (FRAME_MAX + 1).to_bytes(4, "big"), b"API\0\0\0\0\0"]
)
async def test_another_protocol_is_refused(sent: bytes) -> None:
    with pytest.raises(WireError):
        await read_hello(await heard(sent))


async def test_a_message_without_its_last_nul_is_refused() -> None:
    with pytest.raises(WireError):
        await read_message(await heard(b"\0\0\0\x03", b"abc"))


async def test_a_message_cut_short_is_the_end() -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await read_message(await heard(b"\0\0\0\x09abc"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("", 99.0),
        ("20231006-20:00:00", 1696622400.0),
        ("20231006 20:00:00 UTC", 1696622400.0),
        ("20231006 16:00:00 US/Eastern", 1696622400.0),
        ("20231006  16:00:00", 1696622400.0),
    ],
)
def test_ends_come_in_four_forms(text: str, moment: float) -> None:
    assert moment_of(text, 99.0) == moment


@pytest.mark.parametrize("text", ["yesterday", "20231306 16:00:00", "20231006 16:00:00 Nowhere/Land"])
def test_an_end_that_is_none_is_error_10314(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        moment_of(text, 0.0)
    assert caught.value.code == 10314


@pytest.mark.parametrize(
    ("fields", "symbol"),
    [
        (["265598", "", "", "", "", "", "", "", "", "", "", ""], "AAPL"),
        (["0", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", ""], "AAPL"),
        (["", "AAPL", "STK", "", "", "", "", "SMART", "NASDAQ", "USD", "", ""], "AAPL"),
        (["0", "AAPL", "STK", "", "0.0", "", "", "SMART", "NYSE", "USD", "", ""], None),
        (["0", "AAPL", "STK", "", "0.0", "", "", "LSE", "", "USD", "", ""], None),
        (["0", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "GBP", "", ""], None),
        (["0", "AAPL", "OPT", "", "0.0", "", "", "SMART", "", "USD", "", ""], None),
        (["265598", "IBM", "STK", "", "0.0", "", "", "SMART", "", "USD", "", ""], None),
        (["1", "", "", "", "", "", "", "", "", "", "", ""], None),
    ],
)
def test_a_contract_is_found_when_all_that_is_said_of_it_is_true(fields: list[str], symbol: str | None) -> None:
    found = Asked.taken_from(Fields(fields)).found_in(Catalogue())

    assert (found.symbol if found else None) == symbol
