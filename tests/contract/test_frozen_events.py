"""Records of an earlier build are read as they were meant, and those of a later one as far as they are known.

`frozen_events.jsonl` holds two records of every event: one that says nothing but what it must, and one that says all.
They are never edited: a new event adds its own two, a new field of an old one has a default. Newer records are the
same ones with fields that nobody knows yet.
"""

import json
from typing import Any

import pytest

from infra.settings import REPOSITORY
from infra.topics import load_catalogue

CATALOGUE = load_catalogue()
FROZEN = [
    json.loads(line)
    for line in (REPOSITORY / "tests" / "contract" / "frozen_events.jsonl").read_text(encoding="utf-8").splitlines()
]
NAMES = [f"{each['record']['type']}-{number % 2}" for number, each in enumerate(FROZEN)]


def read(topic: str, record: Any) -> Any:
    """What a reader of today takes a record for, as JSON."""
    return json.loads(CATALOGUE.topic(topic).parse(json.dumps(record).encode()).to_json())


def as_told_later(value: Any) -> Any:
    """With a field at every depth that nobody knows yet; where names are data there is no place for one."""
    if isinstance(value, dict):
        told = {name: as_told_later(each) for name, each in value.items()}
        return told | {"of_a_later_build": [1, {"x": None}]} if "event_time" in told else told
    return [as_told_later(each) for each in value] if isinstance(value, list) else value


def differences(said: Any, heard: Any, where: str = "") -> list[str]:
    """Where what was read is not what was said; what was not said may be any default."""
    if isinstance(said, dict) and isinstance(heard, dict):
        return [found for name, each in said.items() for found in differences(each, heard.get(name), f"{where}.{name}")]
    if isinstance(said, list) and isinstance(heard, list) and len(said) == len(heard):
        pairs = enumerate(zip(said, heard, strict=True))
        return [found for number, (a, b) in pairs for found in differences(a, b, f"{where}[{number}]")]
    return [] if said == heard else [f"{where}: {said!r} was read as {heard!r}"]


@pytest.mark.parametrize("frozen", FROZEN, ids=NAMES)
def test_a_record_of_an_earlier_build_means_today_what_it_said(frozen: dict[str, Any]) -> None:
    assert differences(frozen["record"], read(frozen["topic"], frozen["record"])) == []


@pytest.mark.parametrize("frozen", FROZEN, ids=NAMES)
def test_fields_of_a_later_build_change_nothing_of_what_is_known(frozen: dict[str, Any]) -> None:
    later = as_told_later(frozen["record"])

    assert later != frozen["record"]
    assert read(frozen["topic"], later) == read(frozen["topic"], frozen["record"])


def test_every_event_has_records_that_are_frozen() -> None:
    wanted = {(topic.name, event.__name__) for topic in CATALOGUE.topics.values() for event in topic.classes}
    there = {(each["topic"], each["record"]["type"]) for each in FROZEN}

    assert wanted <= there, (
        "add two lines to tests/contract/frozen_events.jsonl: one with what it must say, one with all"
    )
