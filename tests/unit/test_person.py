"""Who a person at the command line is, whatever the system calls them: a kill is refused to nobody for a name."""

import os
import subprocess
import sys

import pytest

WHO = (
    "from producers.cli.person import person; from infra.kill import Kill; from datetime import UTC, datetime\n"
    "print(Kill(kill_id='k', scope='global', reason='r', by=person(), at=datetime.now(UTC)).by)"
)


@pytest.mark.parametrize(
    ("user", "by"),
    [
        ("ann", "cli ann"),
        ("ivan@corp.example", "cli ivan-corp.example"),
        ("CORP\\ivan", "cli CORP-ivan"),
        ("ren\u00e9", "cli ren-"),
        ("x" * 300, "cli " + "x" * 124),
    ],
)
def test_whoever_types_has_a_name_that_every_record_takes(monkeypatch: pytest.MonkeyPatch, user: str, by: str) -> None:
    from producers.cli.person import person

    monkeypatch.setenv("LOGNAME", user)
    assert person() == by


def test_who_decides_about_a_finding_is_who_types_everywhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from producers.cli import corporate, quarantine

    monkeypatch.setenv("LOGNAME", "ivan@corp.example")
    assert {vars(module)["person"]() for module in (corporate, quarantine)} == {"cli ivan-corp.example"}


def test_whoever_has_no_name_at_all_is_a_number() -> None:
    """As in a container that runs as a user whom its system does not know."""
    nobody = 54321
    names = {"LOGNAME", "USER", "LNAME", "USERNAME"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    said = subprocess.run(
        [sys.executable, "-c", f"import os; os.getuid = lambda: {nobody}\n{WHO}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout == f"cli uid {nobody}\n"
