"""`python -m tests.faultlab [--seeds N] [--from SEED] [--case NAME]`: one JSON document; progress on stderr."""

import argparse
import asyncio
import dataclasses
import json
import logging
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from infra import logs
from infra.errors import ScizorError
from infra.settings import Settings
from tests.faultlab.cases import CASES, CONTROLS, IN_TURN, PAIR, PAIRED, case_of, planned
from tests.faultlab.disks import begin_again_with_own_mounts
from tests.faultlab.laboratory import Laboratory, a_laboratory
from tests.faultlab.running import Outcome, Runner
from tests.integration.conftest import settings_of_this_run

CONTROL_PATIENCE_SECONDS = 6.0
INTERRUPTED = 130


def main() -> int:
    arguments = _arguments()
    names = [*CASES, PAIR, *CONTROLS]
    if arguments.list:
        json.dump({"cases": _rows()}, sys.stdout, indent=2)
        return 0
    if arguments.case and arguments.case not in names:
        sys.stderr.write(f"no case {arguments.case!r}; there are: {', '.join(names)}\n")
        return 2
    seeds = range(arguments.first, arguments.first + (arguments.seeds or (1 if arguments.case else len(IN_TURN))))
    plan = [(arguments.case, seed) for seed in seeds] if arguments.case else planned(seeds)
    if not arguments.case:
        plan = [(name, seeds[0]) for name in CONTROLS] + plan
    begin_again_with_own_mounts()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was found so far is told
    try:
        outcomes = _all(plan, arguments.folder)
    except ScizorError as error:
        sys.stderr.write(f"scizor: {error}\n")
        return error.exit_code
    failed = [each for each in outcomes if not _as_expected(each)]
    json.dump(_document(outcomes, failed), sys.stdout, indent=2)
    sys.stdout.write("\n")
    if failed:
        return 1
    return 0 if len(outcomes) == len(plan) else INTERRUPTED


def _all(plan: list[tuple[str, int]], where: Path | None) -> list[Outcome]:
    """What came of the cases that were run before somebody interrupted."""
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="faultlab-", dir=where) as folder:
        logs.configure(settings_of_this_run(Path(folder)).model_copy(update={"log_level": "ERROR"}), "faultlab")
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that Kafka is away is known here
        with a_laboratory(Path(folder) / "servers", Settings().home / "jars") as laboratory:
            try:
                outcomes.extend(_run(laboratory, plan))
            except KeyboardInterrupt:
                sys.stderr.write(f"interrupted after {len(outcomes)} of {len(plan)} cases\n")
    return outcomes


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faultlab", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="how many seeded cases")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="SEED", help="the first seed")
    parser.add_argument("--case", default="", metavar="NAME", help="this case alone, for every seed")
    parser.add_argument("--list", action="store_true", help="which cases there are")
    parser.add_argument("--folder", type=Path, help="where data and logs are kept while it runs")
    return parser.parse_args()


def _run(laboratory: Laboratory, plan: list[tuple[str, int]]) -> Iterator[Outcome]:
    for number, (name, seed) in enumerate(plan, 1):
        patience = {"patience": CONTROL_PATIENCE_SECONDS} if name in CONTROLS else {}
        outcome = asyncio.run(Runner(laboratory, number, **patience).run(case_of(name, seed), seed))
        sys.stderr.write(f"[{number}/{len(plan)}] {_line(outcome)}\n")
        yield outcome


def _line(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"{outcome.case} seed {outcome.seed}: skipped: {outcome.skipped}"
    verdict = "clean" if _as_expected(outcome) else "VIOLATION"
    if outcome.case in CONTROLS:
        verdict = "found out" if _as_expected(outcome) else "NOT FOUND OUT"
    faults = " + ".join(outcome.faults) if outcome.case == PAIR else ""
    line = f"{outcome.case} {faults} seed {outcome.seed}: {verdict}, {outcome.orders} orders, {outcome.fills} fills, "
    line += f"{outcome.fired} faults fired, {outcome.restarts} restarts, {outcome.seconds} s"
    if not _as_expected(outcome):
        line += f"\n{outcome.error}{json.dumps(outcome.violations, indent=1)}\nagain: {_again(outcome)}"
    return line


def _as_expected(outcome: Outcome) -> bool:
    if outcome.error:
        return False
    if outcome.case in CONTROLS:
        return bool(set(outcome.violations) & set(CONTROLS[outcome.case].breaks))
    return not outcome.violations


def _again(outcome: Outcome) -> str:
    return f"scizor faultlab --case {outcome.case} --from {outcome.seed} --seeds 1"


def _rows() -> list[dict[str, object]]:
    pair: dict[str, object] = {
        "name": PAIR,
        "matrix": "F40",
        "work": "orders",
        "faults": PAIRED,
        "meaning": "two of these, by the seed",
    }
    return [pair] + [
        {
            "name": each.name,
            "matrix": each.matrix,
            "work": each.work,
            "faults": each.faults,
            "meaning": each.meaning,
        }
        for each in (*CASES.values(), *CONTROLS.values())
    ]


def _document(outcomes: list[Outcome], failed: list[Outcome]) -> dict[str, object]:
    cases = [each for each in outcomes if each.case not in CONTROLS]
    return {
        "cases": len(cases),
        "seeds": sorted({each.seed for each in cases}),
        "violations": [dataclasses.asdict(each) | {"again": _again(each)} for each in failed],
        "skipped": {each.case: each.skipped for each in cases if each.skipped},
        "controls": {each.case: _as_expected(each) for each in outcomes if each.case in CONTROLS},
        "by_case": Counter(each.case for each in cases),
        "seconds": round(sum(each.seconds for each in outcomes), 1),
        "outcomes": [dataclasses.asdict(each) for each in outcomes],
    }


if __name__ == "__main__":
    sys.exit(main())
