"""A request means the same to the gateway simulator whichever client says it, at every version."""

from decimal import Decimal
from typing import Any

import pytest

from infra.gateway_simulator.orders.placement import read_placement
from infra.gateway_simulator.protocol.wire import VERSION_MAX, VERSION_MIN, Fields
from tests.contract.a_conversation import LAST, Conversation, Rewrite, Script, a_conversation, a_speaker, as_said
from tests.contract.client_libraries import libraries
from tests.unit.a_gateway_by_hand import by_hand

VERSIONS = range(VERSION_MIN, VERSION_MAX + 1)
ZEROS = ("0", "0.0", "false", "False")
SILENT = frozenset({1030, 1034})
"""Requests that are over when they are cancelled, to which IB says nothing."""


def emptied(fields: list[str]) -> list[str]:
    """As @stoqey/ib says it: nothing where there is nothing to say, flags that are not set among it."""
    return [fields[0], *("" if each in ZEROS else each for each in fields[1:])]


def cut_short(fields: list[str]) -> list[str]:
    """As clients say it that know fewer fields: what is empty at the end is left away."""
    said = emptied(fields)
    while len(said) > 1 and not said[-1]:
        said.pop()
    return said


GAINS = (157, 158, 160, 162, 166, 169, 170, 176)
"""The versions in which a request gains fields: there it matters what a client leaves away."""
WAYS: dict[str, tuple[str, Rewrite]] = {
    "ib_async": ("ib_async", as_said),
    "ibapi": ("ibapi", as_said),
}
OLD_WAYS: dict[str, tuple[str, Rewrite]] = {
    "empties": ("ib_insync", emptied),
    "empties and the largest numbers": ("ibapi", emptied),
    "cut short": ("ib_insync", cut_short),
}


def believed(conversation: Conversation) -> dict[int, Any]:
    """What the gateway has taken the orders for, but for the spelling of their fields."""
    book = conversation.hand.gateway.shared.book
    return {
        each.order_id: {
            name: getattr(each.terms, name)
            for name in each.terms.__dataclass_fields__
            if name not in ("told", "instrument")
        }
        | {"contract": each.terms.instrument.contract_id, "status": each.status, "filled": each.filled}
        for each in (*book.finished, *book.live.values())
    }


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_client_means_the_same_and_is_answered_the_same(version: int) -> None:
    async with a_conversation(libraries()["ib_insync"], version) as conversation:
        expected, orders = conversation.heard, believed(conversation)
    assert len(orders) == 6  # one was only asked about, one refused

    for name, (library, rewrite) in (WAYS | (OLD_WAYS if version in GAINS else {})).items():
        async with a_conversation(libraries()[library], version, rewrite) as conversation:
            assert believed(conversation) == orders, name
            for answer, wanted in zip(conversation.heard, expected, strict=True):
                assert answer == wanted, name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("rewrite", [as_said, emptied, cut_short])
def test_what_only_some_orders_have_is_walked_over(version: int, rewrite: Rewrite) -> None:
    for library in libraries().values():
        steps = [each for name, each in Script(library, version).steps() if name == "placeOrder"][LAST - 1 :]
        for arguments in steps:
            (fields,) = library.requests(version, "placeOrder", *arguments)
            placement = read_placement(Fields(rewrite(fields)[1:]), version)
            (condition,) = placement.conditions
            assert (condition.kind, condition.number, condition.exchange) == (1, Decimal("9000.5"), "SMART")
            assert placement.told["exempt_code"] == "-1"
            assert not placement.flag("what_if")


@pytest.mark.parametrize("library", ["ib_insync", "ib_async", "ibapi"])
async def test_no_request_with_a_number_hangs(library: str) -> None:
    async with a_conversation(libraries()[library], VERSION_MAX) as conversation:
        answered = {value for message in conversation.heard for value in message[1:4]}
        refused = {int(each[2]): int(each[3]) for each in conversation.client.of(4)}
        asked = conversation.numbers()

    assert {each for each in asked if str(each) not in answered} <= SILENT
    assert {number: refused.get(number) for number in range(1080, 1087)} == dict.fromkeys(range(1080, 1087), 321)


@pytest.mark.parametrize(
    ("offer", "version"),
    [
        ("v157..176", "176"),
        ("v157..178", "176"),
        ("v100..226", "176"),
        ("v100..173", "173"),
        ("v100..157", "157"),
        ("v100..156", None),
        ("v213..225", None),
    ],
)
async def test_the_newest_version_that_both_speak_is_spoken(offer: str, version: str | None) -> None:
    async with by_hand() as hand:
        client = await a_speaker(hand, offer)

        assert [each[0] for each in client.heard[:1]] == ([version] if version else [])
        assert client.session.is_open is (version is not None)
