"""A folder with ib_async beside this environment: it and ib_insync both bring a package `eventkit`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from infra.settings import Settings

VERSION = "2.1.0"
_PACKAGES = (f"ib_async=={VERSION}", "aeventkit==2.1.0", "nest_asyncio==1.6.0")


def ib_async_folder() -> Path:
    """With ib_async and its eventkit, kept between runs; all else comes from this environment."""
    folder = Settings().home / "test" / f"ib_async-{VERSION}"
    if not (folder / "ib_async").is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", unfinished]
            subprocess.run([*command, *_PACKAGES], check=True, timeout=300)
            if not folder.exists():
                Path(unfinished).rename(folder)
                Path(unfinished).mkdir()
    return folder
