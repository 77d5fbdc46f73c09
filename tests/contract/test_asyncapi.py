"""The AsyncAPI document says what topics.yaml and the models say, and hangs together."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.asyncapi import document
from infra.topics import load_catalogue
from producers.cli.docs import app

CATALOGUE = load_catalogue()
DOCUMENT = document(CATALOGUE, "scizor.")


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))

    assert len(found) > 50
    for reference in found:
        assert isinstance(resolve(reference), dict), reference


@pytest.mark.parametrize("topic", CATALOGUE.topics)
def test_a_topic_is_a_channel_with_its_address_its_partitions_and_its_events(topic: str) -> None:
    spec, channel = CATALOGUE.topic(topic), DOCUMENT["channels"][topic]

    assert channel["address"] == f"scizor.{topic}"
    assert channel["bindings"]["kafka"]["partitions"] == spec.partitions
    assert list(channel["messages"]) == [event.__name__ for event in spec.classes]


@pytest.mark.parametrize("service", CATALOGUE.services)
def test_a_service_receives_and_sends_what_it_declares(service: str) -> None:
    spec = CATALOGUE.services[service]
    operations = {n: o for n, o in DOCUMENT["operations"].items() if n.startswith(f"{service}.")}

    sent = {o["channel"]["$ref"].rsplit("/", 1)[1] for o in operations.values() if o["action"] == "send"}
    consumed = {o["channel"]["$ref"].rsplit("/", 1)[1] for o in operations.values() if "bindings" in o}
    assert sent == set(spec.writes)
    assert consumed == set(spec.reads)
    assert len(operations) == len(spec.reads) + len(spec.replays) + len(spec.writes)


def test_money_is_told_to_be_a_decimal_string_and_market_prices_numbers() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    assert schemas["Fill"]["properties"]["last_price"]["format"] == "decimal"
    assert schemas["Fill"]["properties"]["last_price"]["type"] == "string"
    assert schemas["Bar"]["properties"]["close"]["type"] == "number"


def test_only_topics_with_headers_tell_of_headers() -> None:
    messages = DOCUMENT["components"]["messages"]

    assert "headers" not in messages["Bar"]
    assert "ce_id" in messages["OrderIntent"]["headers"]["required"]


def test_the_command_prints_the_document() -> None:
    printed = CliRunner().invoke(app, ["asyncapi", "--json"])

    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["channels"].keys() == DOCUMENT["channels"].keys()
    assert CliRunner().invoke(app, ["asyncapi"]).stdout.startswith("asyncapi: 3.0.0\n")
