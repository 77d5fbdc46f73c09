"""Small disks that can be filled: memory, mounted where this process and its children alone see it."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.embedded.waiting import within

_MOUNTED = "SCIZOR_FAULTLAB_MOUNTS"
_TRY_SECONDS = 30.0


class Disk:
    """A file system of so many bytes on a folder; while it is full it ends where what it holds ends."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self._size = size
        folder.mkdir(parents=True)
        _mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder))

    def fill(self) -> None:
        """Not one more page can be written; what grows meanwhile is waited for."""
        for _ in within(_TRY_SECONDS):
            with contextlib.suppress(subprocess.CalledProcessError):  # it holds more by now
                _mount("-o", f"remount,size={shutil.disk_usage(self.folder).used}", str(self.folder))
                return
        raise AssertionError(f"{self.folder} grows faster than it can be filled")

    def free(self) -> None:
        """As before it was filled."""
        _mount("-o", f"remount,size={self._size}", str(self.folder))

    def remove(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True, timeout=_TRY_SECONDS)


@contextlib.contextmanager
def a_disk(folder: Path, size: int) -> Iterator[Disk]:
    disk = Disk(folder, size)
    try:
        yield disk
    finally:
        disk.remove()


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, timeout=_TRY_SECONDS)


def may_mount() -> bool:
    """Whether this process has mounts of its own, which nobody else sees."""
    return os.environ.get(_MOUNTED) == str(os.getpid())


def begin_again_with_own_mounts() -> None:
    """Become the same program with mounts of its own; returns when it is, or where the machine does not allow that."""
    if may_mount():
        return
    apart = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
    try:
        probe = [*apart, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        allowed = subprocess.run(probe, capture_output=True, timeout=_TRY_SECONDS, check=False).returncode == 0
    except FileNotFoundError:
        return
    if allowed:
        os.environ[_MOUNTED] = str(os.getpid())
        os.execvp(apart[0], [*apart, sys.executable, *sys.orig_argv[1:]])
