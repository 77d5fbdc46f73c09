"""The gateway's tests again, with ib_async: in a process of their own, as both libraries bring a package `eventkit`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import REPOSITORY, Settings

TESTS = ("tests/integration/test_gateway.py", "tests/integration/test_gateway_faults.py")
PACKAGES = ("ib_async==2.1.0", "aeventkit==2.1.0", "nest_asyncio==1.6.0")


@pytest.fixture(scope="session")
def ib_async() -> Path:
    """A folder with ib_async and its eventkit, kept between runs; all else comes from this environment."""
    folder = Settings().home / "test" / "ib_async-2.1.0"
    if not (folder / "ib_async").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*command, *PACKAGES], check=True, timeout=300)
    return folder


@pytest.mark.timeout(240)
def test_the_gateway_works_with_ib_async_as_with_ib_insync(ib_async: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ib_async), "GATEWAY_LIBRARY": "ib_async"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", *TESTS]

    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=230
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
