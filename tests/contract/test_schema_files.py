"""The committed JSON Schema files say what the models say, and no change of a model breaks their readers."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.errors import ScizorError
from infra.schema_files import FOLDER, incompatible, main, outdated, schema_of, write
from infra.topics import Catalogue, load_catalogue

CATALOGUE = load_catalogue()


def test_the_files_are_those_of_the_models() -> None:
    assert outdated(CATALOGUE) == [], "run: python -m infra.schema_files"


def test_no_model_breaks_the_readers_or_the_records_of_its_committed_file() -> None:
    assert incompatible(CATALOGUE) == []


@pytest.mark.parametrize("topic", CATALOGUE.topics)
def test_a_file_tells_the_key_and_tags_every_event_of_the_family(topic: str) -> None:
    spec = CATALOGUE.topic(topic)
    committed = json.loads((FOLDER / f"{topic}.json").read_text(encoding="utf-8"))

    assert committed["x-key"] == list(spec.key)
    definitions = {definition["title"]: definition for definition in (committed, *committed.get("$defs", {}).values())}
    for event in spec.classes:
        assert definitions[event.__name__]["properties"]["type"]["const"] == event.__name__
        assert {"type", "event_time", "ingest_time"} <= set(definitions[event.__name__]["required"])


def test_what_a_docstring_says_about_a_field_reaches_outside_readers() -> None:
    fields = schema_of(CATALOGUE.topic("trading.orders.v1"))["properties"]

    assert fields["order_id"]["description"] == "Ours: the id of the intent it came from."


def a_folder_that_knows_a_field_more(folder: Path) -> Catalogue:
    """Committed files of one topic whose model has since lost the field `venue`."""
    catalogue = CATALOGUE.model_copy(update={"topics": {"market.bars.v1": CATALOGUE.topic("market.bars.v1")}})
    write(catalogue, folder)
    file = folder / "market.bars.v1.json"
    committed: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    committed["properties"]["venue"] = {"type": "string"}
    file.write_text(json.dumps(committed), encoding="utf-8")
    return catalogue


def test_an_incompatible_change_is_refused_and_leaves_the_files_alone(tmp_path: Path) -> None:
    catalogue = a_folder_that_knows_a_field_more(tmp_path)
    before = (tmp_path / "market.bars.v1.json").read_text(encoding="utf-8")

    with pytest.raises(ScizorError, match=r"market\.bars\.v1: Bar\.venue: the field was removed or renamed"):
        write(catalogue, tmp_path)

    assert (tmp_path / "market.bars.v1.json").read_text(encoding="utf-8") == before


def test_one_flag_takes_an_incompatible_change_on_purpose(tmp_path: Path) -> None:
    catalogue = a_folder_that_knows_a_field_more(tmp_path)

    assert write(catalogue, tmp_path, accept_incompatible=True) == ["market.bars.v1"]
    assert outdated(catalogue, tmp_path) == []


def test_a_topic_that_vanished_is_an_incompatible_change(tmp_path: Path) -> None:
    write(CATALOGUE, tmp_path)
    fewer = {name: topic for name, topic in CATALOGUE.topics.items() if name != "market.ticks.v1"}

    found = incompatible(CATALOGUE.model_copy(update={"topics": fewer}), tmp_path)

    assert found == ["market.ticks.v1: the topic was removed"]


def test_the_command_ends_with_1_and_names_what_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_folder_that_knows_a_field_more(tmp_path)

    assert main([], tmp_path) == 1
    assert "Bar.venue" in capsys.readouterr().err
    assert main(["--accept-incompatible"], tmp_path) == 0
