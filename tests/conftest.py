"""For all tests: where CI=true, a test that cannot run has failed."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from infra.settings import Settings

settings.register_profile("scizor", deadline=None)  # machines are shared: how long an example takes proves nothing
settings.load_profile("scizor")


@pytest.fixture(scope="session")
def jars() -> Path:
    """Where all runs on this machine share the broker's jars."""
    return Settings().home / "jars"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a machine lacks may be skipped by hand, never where it decides whether a change lands."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report
