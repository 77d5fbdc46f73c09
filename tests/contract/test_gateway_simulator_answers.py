"""Each message of the gateway simulator means to three client libraries what it was meant to, at every version."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from infra.gateway_simulator.instruments.contract_details import details_fields
from infra.gateway_simulator.protocol.names import ANSWERS
from infra.gateway_simulator.protocol.wire import VERSION_MAX, VERSION_MIN
from tests.contract import meant_accounts, meant_data, meant_orders, meant_reference  # noqa: F401 # they keep their cases
from tests.contract.a_conversation import SCHEDULE_SINCE, USER_INFO_SINCE, a_conversation
from tests.contract.a_scene import CASES, Scene, said, unset
from tests.contract.client_libraries import Called, Library, libraries
from tests.contract.sendable import sendable
from tests.unit.a_gateway_by_hand import APPLE, by_hand

VERSIONS = range(VERSION_MIN, VERSION_MAX + 1)
OF_THE_CLASS = frozenset({"details.mdSizeMultiplier"})
"""What a library's class has and no decoder sets."""
MISREAD = {158: "order.duration", 163: "details.suggestedSizeIncrement"}
"""What ib_insync and its successor take from the wrong version on; IB's own library is right."""
NEWER = {106: SCHEDULE_SINCE, 107: USER_INFO_SINCE}
"""Answers to requests that older clients cannot say."""
OF_A_KIND = 4
"""So many messages of a kind are compared between the libraries at each version, and all at the newest."""


def misread(library: Library, version: int) -> set[str]:
    is_wrong = library.name != "ibapi" and version in MISREAD
    return {*OF_THE_CLASS, MISREAD[version]} if is_wrong else set(OF_THE_CLASS)


def wrong(library: Library, version: int, message: list[str], meant: list[Any]) -> list[Any]:
    """What the library understands otherwise, with what it should."""
    heard = library.heard(version, message)
    if [name for name, _ in heard] != [name for name, _ in meant]:
        return [([name for name, _ in heard], [name for name, _ in meant])]
    excused = misread(library, version)
    found = []
    for (_, told), (_, wanted) in zip(heard, meant, strict=True):
        one, other = said(told), said(wanted)
        differing = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
        not_unset = {name for name in unset(wanted) if name in told} - unset(told)
        found += [(name, told.get(name), wanted.get(name)) for name in sorted((differing | not_unset) - excused)]
    return found


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_field_of_every_message_means_what_was_meant(version: int) -> None:
    async with a_conversation(libraries()["ib_insync"], version) as conversation:
        messages, scene = conversation.heard, Scene(conversation)
        cases = [(number, *each) for number, case in CASES.items() for each in case(scene)]
    for library in libraries().values():
        for number, message, meant in cases:
            assert wrong(library, version, message, meant) == [], (library.name, number, message)

    seen: Counter[int] = Counter()
    for message in messages:
        seen[int(message[0])] += 1
        if version == VERSION_MAX or seen[int(message[0])] <= OF_A_KIND:
            assert disagreements(version, message) == [], message
    assert set(seen) == set(ANSWERS) - {number for number, since in NEWER.items() if version < since}


def disagreements(version: int, message: list[str]) -> list[Any]:
    told = {name: library.heard(version, message) for name, library in libraries().items()}
    official = told.pop("ibapi")
    assert official
    found = []
    for name, calls in told.items():
        found += differences(calls, official, misread(libraries()[name], version))
    return found


def differences(ours: list[Called], theirs: list[Called], excused: set[str]) -> list[Any]:
    """What two libraries understand otherwise, of that which both know of."""
    if [name for name, _ in ours] != [name for name, _ in theirs]:
        return [(ours, theirs)]
    return [
        (name, one[name], other[name])
        for (_, one), (_, other) in zip(ours, theirs, strict=True)
        for name in (one.keys() & other.keys()) - excused
        if said({name: one[name]}) != said({name: other[name]})
    ]


def test_every_message_that_can_be_sent_has_a_name_and_a_case() -> None:
    assert sendable() == set(ANSWERS) == set(CASES)


async def test_other_alphabets_are_read_where_the_libraries_expect_them() -> None:
    """All expect them in long names; in errors only IB's own library does, and the others show the escapes."""
    async with by_hand() as hand:
        client = await hand.client()
        await client.say(1, 11, 7, *APPLE, 0, "Größe 中", 0, 0, "")
        shared = hand.gateway.shared
        bank = replace(shared.catalogue.by_symbol["AAPL"], name="Société Générale 中")
        client.session.send(10, 8, *details_fields(bank, shared.world, version=VERSION_MAX, now=shared.now()))
        (details,), refusal = client.of(10), client.of(4)[-1]

    for name, library in libraries().items():
        ((_, told),) = library.heard(VERSION_MAX, details)
        assert told["details.longName"].startswith("Société Générale 中 (")
        ((_, told),) = library.heard(VERSION_MAX, refusal)
        text = told["text"] if name == "ibapi" else told["text"].encode().decode("unicode-escape")
        assert "Incorrect generic tick list of Größe 中." in text
