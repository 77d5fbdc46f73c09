"""`scizor faultlab`: faults of every kind at the real order path, judged by the gateway's ledger."""

import json
import subprocess
import sys
from typing import Annotated, Any

import typer

from infra.errors import UsageError
from infra.settings import REPOSITORY


def faultlab(
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="How many seeded cases; else each row once.")
    ] = None,
    case: Annotated[str, typer.Option("--case", metavar="NAME", help="This case alone, for every seed.")] = "",
    first: Annotated[int, typer.Option("--from", min=0, metavar="SEED", help="The first seed.")] = 1,
    show: Annotated[bool, typer.Option("--list", help="Which cases there are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Kill, freeze, cut and lie to the order path at chosen moments, and judge what came of it.

    Risk, executor, portfolio and persister run as processes before the gateway simulator, on a Kafka and a PostgreSQL
    of their own. The judge compares the gateway's ledger with tables and topics. Services that are broken on purpose
    go first: each has to be found out. A case is done again by its name and seed.

    Exit codes: 0 clean, 1 a promise was broken, 2 usage.
    """
    if not (REPOSITORY / "tests" / "faultlab").is_dir():
        raise UsageError("the fault laboratory lives in tests/faultlab of the source tree: run it from a clone")
    options = [f"--from={first}", *([f"--seeds={seeds}"] if seeds else []), *(["--list"] if show else [])]
    command = [sys.executable, "-m", "tests.faultlab", *options, *([f"--case={case}"] if case else [])]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=False)
    if as_json or not done.stdout:
        sys.stdout.write(done.stdout)
    elif show:
        _show_rows(json.loads(done.stdout))
    else:
        _show_verdict(json.loads(done.stdout))
    if done.returncode:
        raise typer.Exit(done.returncode)


def _show_rows(document: dict[str, Any]) -> None:
    for row in document["cases"]:
        print(f"{row['name']:<46}{row['matrix']:<18}{row['work']:<8}{row['meaning']}")


def _show_verdict(document: dict[str, Any]) -> None:
    for name, found_out in document["controls"].items():
        print(f"{name}: {'found out' if found_out else 'NOT FOUND OUT'}")
    for each in document["violations"]:
        broken = ", ".join(f"promise {number}" for number in each["violations"]) or "could not be judged"
        print(f"{each['case']} seed {each['seed']}: {broken}; again: {each['again']}")
    print(f"{document['cases']} cases in {document['seconds']:.0f} s, {len(document['violations'])} violations")
