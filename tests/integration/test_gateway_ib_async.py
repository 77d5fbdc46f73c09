"""The gateway's tests again, with ib_async: in a process of their own, as both libraries bring a package `eventkit`."""

import os
import subprocess
import sys

import pytest

from infra.settings import REPOSITORY
from tests.an_ib_async import ib_async_folder

TESTS = ("tests/integration/test_gateway.py", "tests/integration/test_gateway_faults.py")


@pytest.mark.timeout(240)
def test_the_gateway_works_with_ib_async_as_with_ib_insync() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ib_async_folder()), "GATEWAY_LIBRARY": "ib_async"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", *TESTS]

    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=230
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
