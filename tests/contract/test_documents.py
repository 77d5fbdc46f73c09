"""The documents say what the code says: generated tables are current, links lead somewhere, what is named exists."""

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr

from infra.gateway_simulator.faults import cassette
from infra.gateway_simulator.faults.actions import DESCRIBED, DOES, Action, Part
from infra.gateway_simulator.ledger import KINDS
from infra.quality.rules import RULES
from infra.settings import REPOSITORY, Settings
from infra.topics import load_catalogue
from producers.cli.main import COMMANDS
from producers.cli.topics import declaration

DOCUMENTS = [
    REPOSITORY / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        *(f"docs/{f.name}" for f in (REPOSITORY / "docs").glob("*.md")),
    )
]
NAMES = [str(document.relative_to(REPOSITORY)) for document in DOCUMENTS]
CATALOGUE = load_catalogue()
_BLOCK = re.compile(r"(<!-- generated: ([\w ]+) -->\n)(.*?)(<!-- /generated -->)", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`|```\w*\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"(?:\./|^|\s)scizor ([a-z][a-z-]*)", re.MULTILINE)
_VARIABLE = re.compile(r"\bSCIZOR_([A-Z_]+)\b")
_FILE = re.compile(
    r"(?<![\w/])(?:schemas|engine|infra|producers|consumers|tests|docs)/[\w./-]*|[\w-]+\.(?:yaml|yml|toml|md)"
)
_ELSEWHERE = ("http://", "https://")


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rows])


def _topics() -> str:
    told = [declaration(topic, CATALOGUE) for topic in CATALOGUE.topics.values()]
    return _table(
        ["topic", "key", "events"], [[f"`{t['name']}`", f"`{t['key']}`", ", ".join(t["events"])] for t in told]
    )


def _topics_with_users() -> str:
    rows = []
    for topic in (declaration(topic, CATALOGUE) for topic in CATALOGUE.topics.values()):
        schema = f"[{topic['name']}](../schemas/json/{topic['name']}.json)"
        users = [", ".join(topic[side]) or "-" for side in ("writers", "readers")]
        rows.append([schema, f"`{topic['key']}`", str(topic["partitions"]), topic["retention"], *users])
    return _table(["topic", "key", "partitions", "retention", "written by", "read by"], rows)


def _settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        value = field.get_default(call_default_factory=True)
        if isinstance(value, Path):
            value = value.relative_to(REPOSITORY)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        text = json.dumps(value) if isinstance(value, bool | list) else str(value)
        rows.append([f"`SCIZOR_{name.upper()}`", f"`{text}`" if text else "", field.description or ""])
    return _table(["setting", "default", "meaning"], rows)


def _actions() -> str:
    rows = []
    for name, field in Action.model_fields.items():
        parts = [each for each in (field.annotation, *get_args(field.annotation)) if isinstance(each, type)]
        part = next((each for each in parts if issubclass(each, Part)), None)
        if name not in DOES:
            continue
        told = DESCRIBED.get(name) or inspect.getdoc(part) or ""
        fields = ", ".join(f"`{each}`" for each in part.model_fields) if part is not None else ""
        rows.append([f"`{name}`", " ".join(told.split()), fields])
    return _table(["action", "meaning", "fields"], rows)


def _cassettes() -> str:
    rows = [cassette.load(name) for name in cassette.names()]
    return _table(
        ["cassette", "what happens", "known from", "expected"],
        [[f"`{each.name}`", each.description, each.source, each.expects] for each in rows],
    )


def _quality() -> str:
    return _table(
        ["rule", "looks at", "is broken when", "severity", "the record"],
        [[f"`{each.name}`", each.looks_at, each.breaks, each.severity, each.effect] for each in RULES.values()],
    )


def _ledger() -> str:
    return _table(["kind", "meaning"], [[f"`{kind}`", told] for kind, told in KINDS.items()])


BLOCKS: dict[str, Callable[[], str]] = {
    "topics": _topics,
    "topics with users": _topics_with_users,
    "settings": _settings,
    "actions": _actions,
    "cassettes": _cassettes,
    "ledger": _ledger,
    "quality": _quality,
}


def renewed(text: str) -> str:
    """The text with every generated block as it should be."""
    return _BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]]() + found[4], text)


def _text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def _code(name: str) -> list[str]:
    return [inline or block for inline, block in _CODE.findall(_text(name))]


@pytest.mark.parametrize("name", NAMES)
def test_generated_tables_are_current(name: str) -> None:
    assert renewed(_text(name)) == _text(name), "renew them: python -m tests.contract.test_documents"


def test_every_generated_table_stands_somewhere() -> None:
    assert {block for name in NAMES for _, block, _, _ in _BLOCK.findall(_text(name))} == set(BLOCKS)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as its readers' programs make them."""
    headings = [line.lstrip("#").strip().lower() for line in text.splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in _LINK.findall(_text(name)):
        if link.startswith(_ELSEWHERE):
            continue
        page, _, anchor = link.partition("#")
        target = (REPOSITORY / name).parent / page if page else REPOSITORY / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_setting_and_file_that_is_named_exists(name: str) -> None:
    code = "\n".join(_code(name))

    assert set(_COMMAND.findall(code)) <= set(COMMANDS)
    assert {each.lower() for each in _VARIABLE.findall(_text(name))} <= set(Settings.model_fields)
    named = [found for found in _FILE.findall(code) if not found.startswith(("my_", "FILE"))]  # the reader's own
    missing = [found for found in named if not (REPOSITORY / found).exists()]
    assert [found for found in missing if not (REPOSITORY / "infra/dashboards/prometheus" / found).exists()] == []


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(renewed(document.read_text(encoding="utf-8")), encoding="utf-8")
