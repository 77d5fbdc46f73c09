"""The universe file: which symbols a system is populated with."""

import csv
from pathlib import Path

from pydantic import ValidationError

from infra.errors import UsageError
from infra.settings import REPOSITORY
from infra.symbol_names import parse_symbol
from schemas.registry import SymbolEntry

UNIVERSE = REPOSITORY / "infra" / "universe.csv"
COLUMNS = ("symbol", "exchange", "currency", "kind", "name")
_LINES_MAX = 10_000


class UniverseError(UsageError):
    """The file cannot be what it should be."""


def read_universe(file: Path) -> list[SymbolEntry]:
    """One entry a line, each symbol once; UniverseError names the line."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            return _entries(file, csv.DictReader(opened))
    except OSError as error:
        raise UniverseError(f"cannot read {file}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UniverseError(f"{file} is no CSV text in UTF-8: {error}") from error


def _entries(file: Path, lines: "csv.DictReader[str]") -> list[SymbolEntry]:
    heads = tuple(lines.fieldnames or ())
    if missing := [head for head in COLUMNS if head not in heads]:
        raise UniverseError(f"{file}: the first line must name {','.join(COLUMNS)}; {', '.join(missing)} is missing")
    found: dict[str, tuple[int, SymbolEntry]] = {}
    for line in lines:
        entry = _entry(file, lines.line_num, line)
        if entry.symbol in found:
            raise UniverseError(f"{file}:{lines.line_num}: {entry.symbol} is on line {found[entry.symbol][0]} already")
        found[entry.symbol] = (lines.line_num, entry)
        if len(found) > _LINES_MAX:
            raise UniverseError(f"{file} has more than {_LINES_MAX} symbols: split it")
    if not found:
        raise UniverseError(f"{file} names no symbols")
    return [entry for _, entry in found.values()]


def _entry(file: Path, number: int, line: dict[str, str | None]) -> SymbolEntry:
    if None in line or any(line[head] is None for head in COLUMNS):
        raise UniverseError(f"{file}:{number}: {len(COLUMNS)} columns are wanted: {','.join(COLUMNS)}")
    symbol, exchange, currency, kind, name = ((line[head] or "").strip() for head in COLUMNS)
    try:
        spelt = str(parse_symbol(":".join(filter(None, (symbol, exchange, currency if exchange else "")))))
        return SymbolEntry(symbol=spelt, kind=kind.lower(), name=name)
    except ValidationError as error:
        raise UniverseError(f"{file}:{number}: {error.errors()[0]['msg']}") from error
    except UsageError as error:
        raise UniverseError(f"{file}:{number}: {error}") from error
