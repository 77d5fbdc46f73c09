"""Strategies in files of one's own: found, read, and told what is wrong with them by line."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from engine.strategy import BaseStrategy
from engine.strategy_source import SOURCE_BYTES_MAX, StrategySourceError, strategy_from
from infra.errors import UsageError


@dataclass(frozen=True)
class StrategyFile:
    """The text of one strategy."""

    path: Path
    source: str

    @property
    def name(self) -> str:
        """The file's name, which is the strategy's."""
        return self.path.stem

    @property
    def sha256(self) -> str:
        """Of the text."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def loaded(self) -> type[BaseStrategy]:
        """The class. The text runs here, as whoever called; raises UsageError, with the line, when it cannot."""
        try:
            return strategy_from(self.source, self.name)
        except StrategySourceError as error:
            raise UsageError(f"{self.path} is no strategy: {error}") from None


@dataclass(frozen=True)
class LoadError:
    """Why a file of a folder is no strategy."""

    file: str
    line: int
    error: str


def is_file(text: str) -> bool:
    """Whether a strategy is named by its file."""
    return text.endswith(".py")


def beside(name: str) -> str:
    """` (did you mean the file NAME.py?)` when a name that nobody knows has a file of that name here."""
    return f" (did you mean the file {name}.py?)" if Path(f"{name}.py").is_file() else ""


def read_strategy(text: str) -> StrategyFile:
    """The file of this name. Raises UsageError when it cannot be read or is too long."""
    path = Path(text)
    if not path.stem.isidentifier():
        raise UsageError(f"{path.name}: a strategy's file is named as Python names things, like mean_reversion.py")
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}: `scizor strategy new {path.stem}` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if len(source.encode()) > SOURCE_BYTES_MAX:
        raise UsageError(f"{path} is longer than {SOURCE_BYTES_MAX:,} bytes: a strategy is text, not data")
    return StrategyFile(path, source)


def in_folder(folder: Path) -> tuple[list[tuple[StrategyFile, type[BaseStrategy]]], list[LoadError]]:
    """The strategies of a folder, and what could not be loaded. Tests and files without a strategy are passed over."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    found, errors = [], []
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith(("test_", "_", "conftest")):
            continue
        try:
            file = read_strategy(str(path))
            if "BaseStrategy" in file.source:
                found.append((file, strategy_from(file.source, file.name)))
        except (StrategySourceError, UsageError) as error:
            errors.append(LoadError(str(path), _line(str(error)), str(error)))
    return found, errors


def _line(text: str) -> int:
    told = re.search(r"line (\d+)", text)
    return int(told[1]) if told else 0
