"""What an archive holds: a manifest beside the files, with a digest of each, so that nothing is believed blindly."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.errors import ScizorError

MANIFEST = "manifest.json"
_CHUNK = 1 << 20


class ArchiveBrokenError(ScizorError):
    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"the archive {folder} is not whole: {why}; nothing was dropped or restored because of it")


@dataclass(frozen=True)
class Part:
    """The bars of one contract and size in one file."""

    file: str
    contract_id: int
    bar_size_seconds: int
    first: datetime
    """Start of the first bar."""
    last: datetime
    """End of the last one."""
    rows: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """One archive: all bars of a year, every revision."""

    year: int
    created: datetime
    rows: int
    digest: str
    """Of all rows as the database had them; see `rows_digest`."""
    parts: tuple[Part, ...]

    def write(self, folder: Path) -> None:
        """Last of all files: an archive without a manifest was never finished."""
        text = json.dumps(asdict(self), default=_written, indent=1, sort_keys=True)
        write_whole(folder / MANIFEST, text.encode())

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        try:
            told: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
            parts = tuple(
                Part(**{**part, "first": _moment(part["first"]), "last": _moment(part["last"])})
                for part in told.pop("parts")
            )
            return cls(**{**told, "created": _moment(told["created"]), "parts": parts})
        except FileNotFoundError:
            raise ArchiveBrokenError(folder, f"there is no {MANIFEST}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise ArchiveBrokenError(folder, f"{MANIFEST} cannot be read ({error})") from error


def _written(value: Any) -> str:
    assert isinstance(value, datetime), f"no way to write {value!r}"
    return value.isoformat()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def write_whole(file: Path, content: bytes) -> None:
    """Whole or not at all, and on the disk when this returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    with part.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def file_digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def years_folder(home: Path) -> Path:
    return home / "archive" / "years"


def archives(home: Path) -> list[Path]:
    """Finished archives of years, the oldest year first."""
    return sorted(file.parent for file in years_folder(home).glob(f"*/{MANIFEST}"))


def archived_spans(home: Path, contract_id: int, size: timedelta) -> list[tuple[datetime, datetime]]:
    """The times of which bars of a contract are in archives; those that were restored are in both places."""
    wanted = (contract_id, int(size.total_seconds()))
    parts = [part for folder in archives(home) for part in Manifest.read(folder).parts]
    return [(part.first, part.last) for part in parts if (part.contract_id, part.bar_size_seconds) == wanted]


def archived_sizes(home: Path, contract_id: int) -> set[int]:
    """Of which sizes bars of a contract are in archives, in seconds."""
    parts = [part for folder in archives(home) for part in Manifest.read(folder).parts]
    return {part.bar_size_seconds for part in parts if part.contract_id == contract_id}
