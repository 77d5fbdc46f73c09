"""`scizor test`: everything that decides whether a change may land."""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Annotated

import typer

from infra.clock import SystemClock
from infra.errors import UsageError
from infra.settings import REPOSITORY

NEEDED = (
    "pytest",
    "pytest_asyncio",
    "pytest_timeout",
    "xdist",
    "hypothesis",
    "httpx",
    "ibapi",
    "ruff",
    "mypy",
    "importlinter",
)
LINT_IMPORTS = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
CHECKS = {
    "format": ("-m", "ruff", "format", "--check", "."),
    "lint": ("-m", "ruff", "check", "."),
    "types": ("-m", "mypy"),
    "imports": ("-c", LINT_IMPORTS),
}
FAST = ("tests/unit", "tests/contract")
SLOW = ("tests/e2e", "tests/integration")
IN_TWO = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
"""Each of two workers has a broker and a database of its own, and mostly waits for them. The whole demo comes first:
at the end one worker would wait for it."""
FAST_SECONDS_MAX = 900


app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_tests(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="Only what needs nothing running: under a minute.")] = False,
) -> None:
    """Format, lint, types and import contracts, then all tests.

    Further arguments go to pytest, which then runs alone: `scizor test tests/unit -k bars`.
    """
    _require_extra()
    if context.args:
        raise typer.Exit(_run("tests", ("-m", "pytest", *context.args)))
    failed = _run_fast() if fast else _run_all()
    if failed:
        print(f"scizor: failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)


def _run_fast() -> list[str]:
    """What needs nothing running; gives what failed."""
    failed = [name for name, command in CHECKS.items() if _run(name, command) != 0]
    if _run("tests", ("-m", "pytest", *FAST)) != 0:
        failed.append("tests")
    return failed


def _run_all() -> list[str]:
    """The fast part beside the slow one, which mostly waits for its servers; the fast one is shown when it is done."""
    command = [sys.executable, "-m", "producers.cli.main", "test", "--fast"]
    with tempfile.TemporaryFile() as heard:
        beside = subprocess.Popen(command, cwd=REPOSITORY, stdout=heard, stderr=subprocess.STDOUT)
        try:
            slow = _run("tests on running servers", ("-m", "pytest", *SLOW, *IN_TWO))
            quick = beside.wait(FAST_SECONDS_MAX)
        finally:
            beside.kill()
            beside.wait()
        heard.seek(0)
        sys.stdout.write(heard.read().decode("utf-8", "replace"))
        sys.stdout.flush()
    return [name for name, status in (("tests on running servers", slow), ("--fast", quick)) if status != 0]


def _require_extra() -> None:
    if not (REPOSITORY / "tests").is_dir():
        raise UsageError("the tests live in the source tree: run ./scizor test in a clone")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} missing: ./scizor test gets them, or pip install -e '.[demo,test]'")


def _run(name: str, command: Sequence[str]) -> int:
    print(f"scizor: {name}", file=sys.stderr, flush=True)
    clock = SystemClock()
    begun = clock.monotonic()
    status = subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=False).returncode
    outcome = "passed" if status == 0 else "FAILED"
    print(f"scizor: {name} {outcome} after {clock.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
    return status
