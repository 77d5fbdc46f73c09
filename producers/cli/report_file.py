"""The file of a report: looked at before a run, written whole or not at all after it."""

import contextlib
import os
import sys
from pathlib import Path

from infra.errors import UsageError

_ENDINGS = (".html", ".htm")


def report_to(path: Path | None) -> Path | None:
    """A callback of `--report`: what could not be written is told before anything runs. Raises UsageError."""
    if path is None:
        return None
    if path.is_dir():
        raise _unwritable(path, "it is a folder")
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"a report is a page of HTML: --report {path.with_suffix('.html')}, not {path.name}")
    if not path.parent.is_dir():
        raise _unwritable(path, f"there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise _unwritable(path, f"nothing may be written to the folder {path.parent}")
    return path


def write_page(path: Path, page: str) -> None:
    """Raises UsageError where that became impossible since."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(page, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise _unwritable(path, str(error.strerror)) from None
    print(f"report: {path}", file=sys.stderr)


def _unwritable(path: Path, why: str) -> UsageError:
    return UsageError(f"the report cannot be written to {path}: {why}")
