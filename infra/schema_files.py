"""The JSON Schema files under schemas/json: one per topic, as its records are on the wire.

`python -m infra.schema_files` writes them from the models. It refuses a change that readers or records of the
committed version could not bear, unless it is told `--accept-incompatible`.
"""

import argparse
import ast
import functools
import inspect
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from infra.compatibility import breaks
from infra.errors import ScizorError
from infra.settings import REPOSITORY
from infra.topics import Catalogue, TopicSpec, load_catalogue
from schemas.event import Event

FOLDER = REPOSITORY / "schemas" / "json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class IncompatibleSchemaError(ScizorError):
    def __init__(self, found: Sequence[str]) -> None:
        lines = "".join(f"\n  {line}" for line in found)
        super().__init__(
            f"these changes break the topics' readers or their records:{lines}\n"
            "give a new field a default, or put the new meaning on a new topic (market.bars.v2); where nobody holds "
            "such records yet: python -m infra.schema_files --accept-incompatible"
        )
        self.found = tuple(found)


class _WireSchema(GenerateJsonSchema):
    """Decimals are strings on the wire; their bounds are kept as annotations, which JSON Schema has none for."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        bounds = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
        noted: dict[str, Any] = {f"x-{word}": float(schema[key]) for key, word in bounds.items() if key in schema}  # type: ignore[literal-required] # the keys are those of the schema
        if "max_digits" in schema:
            noted["x-maxDigits"] = schema["max_digits"]
        if "decimal_places" in schema:
            noted["x-decimalPlaces"] = schema["decimal_places"]
        return {"type": "string", "format": "decimal", **noted}


def schema_of(topic: TopicSpec) -> dict[str, Any]:
    """The JSON Schema of a topic's records, with the key they carry."""
    schema = topic.adapter.json_schema(mode="serialization", schema_generator=_WireSchema)
    classes = {found.__name__: found for event in topic.classes for found in _family(event)}
    for name, definition in [*schema.get("$defs", {}).items(), (schema.get("title", ""), schema)]:
        if name in classes:
            _complete(definition, classes[name])
    head = {"$schema": _DIALECT, "$id": f"urn:scizor:{topic.name}", "title": topic.name, "x-key": list(topic.key)}
    if "title" in schema:
        head["title"] = schema.pop("title")
    return head | schema


def _family(event_class: type[Event]) -> list[type[Event]]:
    """An event class and those that it carries in its fields."""
    found = [event_class]
    for field in event_class.model_fields.values():
        for part in _classes_in(field.annotation):
            if part not in found:
                found += _family(part)
    return found


def _classes_in(annotation: Any) -> list[type[Event]]:
    if inspect.isclass(annotation) and issubclass(annotation, Event):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _classes_in(part)]


def _complete(definition: dict[str, Any], event_class: type[Event]) -> None:
    """Add what pydantic leaves out: the tag, which is always written, and what each field's docstring says."""
    properties = definition["properties"]
    if "type" in properties:
        definition["required"] = ["type", *definition.get("required", [])]
    for name, text in _field_docstrings(event_class).items():
        properties[name]["description"] = text


@functools.cache
def _field_docstrings(event_class: type[Event]) -> dict[str, str]:
    """The string literals below the fields of a class and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(event_class.__mro__):
        if not issubclass(base, Event):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for field, below in zip(definition.body, definition.body[1:], strict=False):
            said = below.value if isinstance(below, ast.Expr) else None
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                found[field.target.id] = inspect.cleandoc(said.value).replace("\n", " ")
    return found


def text_of(topic: TopicSpec) -> str:
    """The file of a topic: the same text for the same models, always."""
    return json.dumps(schema_of(topic), indent=2, ensure_ascii=False) + "\n"


def file_of(topic: TopicSpec, folder: Path = FOLDER) -> Path:
    return folder / f"{topic.name}.json"


def incompatible(catalogue: Catalogue, folder: Path = FOLDER) -> list[str]:
    """What in the models breaks readers or records of the committed files."""
    found = []
    for topic in catalogue.topics.values():
        file = file_of(topic, folder)
        if file.exists():
            committed = json.loads(file.read_text(encoding="utf-8"))
            found += [f"{topic.name}: {each}" for each in breaks(committed, schema_of(topic))]
    return found + [f"{name}: the topic was removed" for name in _orphans(catalogue, folder)]


def _orphans(catalogue: Catalogue, folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.json") if file.stem not in catalogue.topics)


def outdated(catalogue: Catalogue, folder: Path = FOLDER) -> list[str]:
    """Topics whose committed file is missing or says something else than the models, and files without a topic."""
    files = {topic.name: file_of(topic, folder) for topic in catalogue.topics.values()}
    stale = [
        name
        for name, file in files.items()
        if not file.exists() or file.read_text(encoding="utf-8") != text_of(catalogue.topics[name])
    ]
    return stale + _orphans(catalogue, folder)


def write(catalogue: Catalogue, folder: Path = FOLDER, *, accept_incompatible: bool = False) -> list[str]:
    """Bring the files up to date with the models; returns the names of those that changed."""
    found = incompatible(catalogue, folder)
    if found and not accept_incompatible:
        raise IncompatibleSchemaError(found)
    changed = outdated(catalogue, folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        if name in catalogue.topics:
            file_of(catalogue.topics[name], folder).write_text(text_of(catalogue.topics[name]), encoding="utf-8")
        else:
            (folder / f"{name}.json").unlink()
    return changed


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.schema_files", description="Write schemas/json.")
    parser.add_argument("--accept-incompatible", action="store_true", help="write even what breaks readers or records")
    options = parser.parse_args(arguments)
    try:
        changed = write(load_catalogue(), folder, accept_incompatible=options.accept_incompatible)
    except IncompatibleSchemaError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stderr.write(f"{len(changed)} files written{''.join(f' {name}' for name in changed)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
