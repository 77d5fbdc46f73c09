"""Each table has one writer: found by reading the code, not by trusting it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.migrate import newest_revision
from infra.settings import REPOSITORY
from infra.store.revision import known_revision
from infra.store.tables import EVERY_SERVICE, REBUILT_FROM_TOPICS, WRITERS, metadata

STORE = REPOSITORY / "infra" / "store"
SERVICES = sorted([*(REPOSITORY / "consumers").rglob("*.py"), *(REPOSITORY / "producers").rglob("*.py")])
CALLS = {"insert", "update", "delete", "put_newest", "put_once"}
STATEMENT = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|COPY)\s+([a-z_]+)")


def _tables_written(node: ast.AST) -> set[str]:
    """Tables that code changes: by SQLAlchemy's functions, by ours, or in the text of a statement."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            function = each.func.id if isinstance(each.func, ast.Name) else getattr(each.func, "attr", "")
            if function in CALLS:
                found |= {name for argument in each.args for name in _names(argument)}
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            found |= set(STATEMENT.findall(each.value))
    return found & set(WRITERS)


def _names(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.Name):
        yield argument.id
    elif isinstance(argument, ast.Attribute):
        yield argument.attr


def _owners(tables: set[str]) -> set[str]:
    return {WRITERS[table] for table in tables} - {EVERY_SERVICE}


def _writers_of_module(file: Path) -> tuple[set[str], set[str]]:
    """Who owns what the module writes, and which of its functions and classes write."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    statements = {  # a name at the top of the module that holds a writing statement
        target.id: _tables_written(node)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    tables: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            tables[node.name] = _tables_written(node).union(*(statements.get(name, set()) for name in used))
    writing = {name for name, some in tables.items() if _owners(some)}
    return _owners(set().union(*tables.values(), *statements.values())), writing


def _service_of(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return parts[1]


MODULES = {
    file.stem: _writers_of_module(file)
    for file in sorted(STORE.glob("*.py"))
    if not file.stem.endswith("tables") and file.stem not in ("newest", "columns_of_tables")
}


def test_every_table_has_a_writer() -> None:
    assert set(WRITERS) == set(metadata.tables)
    assert {table.name for table in REBUILT_FROM_TOPICS} == {
        name for name, who in WRITERS.items() if who == "persister"
    }


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_store_writes_for_one_service(module: str) -> None:
    owners, _ = MODULES[module]
    assert len(owners) <= 1, f"infra/store/{module}.py writes tables of {sorted(owners)}: split it"


@pytest.mark.parametrize("file", SERVICES, ids=[str(file.relative_to(REPOSITORY)) for file in SERVICES])
def test_a_service_calls_only_what_writes_its_own_tables(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not _owners(_tables_written(tree)), "statements that write belong into infra/store"
    called: set[tuple[str, str]] = set()
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "infra.store":
            aliases |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("infra.store."):
            called |= {(str(node.module).rsplit(".", 1)[1], alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            called.add((aliases[node.value.id], node.attr))
    for module, name in called:
        owners, writing = MODULES.get(module, (set(), set()))
        assert name not in writing or owners == {_service_of(file)}, f"{name} writes for {sorted(owners)}"


def test_what_a_service_takes_for_the_newest_tables_is_the_newest_migration() -> None:
    assert known_revision() == newest_revision()
