"""`scizor bench`: every figure beside the raw limit of the same run."""

import json
import subprocess
import sys
from typing import Annotated

import typer

from infra.errors import UsageError
from infra.settings import REPOSITORY


def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="All when none is named.")] = None,
    quick: Annotated[bool, typer.Option(help="Smaller work, rougher figures.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure replay, publishing, persisting, latency, engine and demo on this machine."""
    if not (REPOSITORY / "tests" / "bench").is_dir():
        raise UsageError("benchmarks live in tests/bench of the source tree: run them from a clone")
    command = [sys.executable, "-m", "tests.bench", *(["--quick"] if quick else []), *(names or [])]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)
    if as_json:
        sys.stdout.write(done.stdout)
        return
    document = json.loads(done.stdout)
    print(f"{'benchmark':<26}{'value':>14} {'unit':<16}{'raw':>14}{'ratio':>8}")
    for row in document["benchmarks"]:
        raw = "" if row["raw"] is None else f"{row['raw']:,.1f}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(f"{row['name']:<26}{row['value']:>14,.1f} {row['unit']:<16}{raw:>14}{ratio:>8}")
    print("on {cores} cores, Python {python}, {system}".format(**document["machine"]))
