"""Programs of Debian that tests need, fetched and unpacked as a plain user: nothing is installed."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.settings import Settings

_FETCH_SECONDS = 240


def unpacked(*packages: str) -> Path:
    """A folder that holds the files of `packages`; skips the test, or fails it where CI=true, when it cannot."""
    folder = Settings().home.resolve() / "debian" / "-".join(packages)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            try:
                _fetch(packages, folder)
            except (OSError, subprocess.SubprocessError) as error:
                said = getattr(error, "stderr", None) or error
                _miss(f"Debian's {', '.join(packages)} cannot be had: {said}")
    return folder


def _fetch(packages: tuple[str, ...], folder: Path) -> None:
    draft = folder.parent / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        _run(["apt-get", "download", *packages], draft)
    except subprocess.CalledProcessError:
        # the machine's own lists are missing or old: use lists of our own, which need no root
        lists = [f"-oDir::State::lists={folder.parent}/lists", f"-oDir::Cache={folder.parent}/cache"]
        (folder.parent / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (folder.parent / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        _run(["apt-get", *lists, "-qq", "update"], draft)
        _run(["apt-get", *lists, "download", *packages], draft)
    for archive in draft.glob("*.deb"):
        _run(["dpkg", "-x", archive.name, "."], draft)
        archive.unlink()
    draft.rename(folder)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_FETCH_SECONDS)


def _miss(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
