"""`python -m tests.bench [--quick] [NAME...]`: run benchmarks, one JSON document on stdout."""

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable
from typing import Any

# each module's `run(quick)` gives rows of name, value, unit, raw, ratio, detail
MODULES = {
    "engine.events": "tests.bench.engine_events",
    "engine.columns": "tests.bench.engine_columns",
    "engine.sweep": "tests.bench.engine_columns",
    "engine.sweep.processes": "tests.bench.engine_sweep_processes",
    "engine.universe": "tests.bench.engine_universe",
    "engine.process": "tests.bench.engine_process",
    "engine.memory": "tests.bench.engine_process",
    "engine.sandbox": "tests.bench.sandbox",
    "kafka.replay": "tests.bench.kafka",
    "kafka.replay.cached": "tests.bench.kafka",
    "kafka.publish": "tests.bench.kafka",
    "persist": "tests.bench.persist",
    "collect.strict": "tests.bench.collect_daily",
    "collect.today": "tests.bench.collect_daily",
    "collect.rate": "tests.bench.collect_rate",
    "latency.tick_to_order": "tests.bench.latency",
    "kill.acknowledge": "tests.bench.kill",
    "load.crash": "tests.bench.load",
    "risk.decisions": "tests.bench.risk",
    "risk.sustained": "tests.bench.risk",
    "risk.race": "tests.bench.risk",
    "api": "tests.bench.api",
    "demo": "tests.bench.demo",
}


def measure(names: Iterable[str], *, quick: bool) -> list[dict[str, Any]]:
    wanted = list(names)
    names_of_modules = dict.fromkeys(MODULES[name] for name in wanted)
    # all at once, before any of them has run and closed an event loop: ib_insync wants one when it is imported
    modules = [importlib.import_module(name) for name in names_of_modules]
    rows = []
    for module in modules:
        sys.stderr.write(f"{module.__name__.removeprefix('tests.bench.')} ...\n")
        run: Callable[[bool], list[dict[str, Any]]] = module.run
        rows += [row for row in run(quick) if not wanted or row["name"].startswith(tuple(wanted))]
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MODULES))
    parser.add_argument("--quick", action="store_true", help="smaller work, rougher figures")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(MODULES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    rows = measure(arguments.names or MODULES, quick=arguments.quick)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    json.dump({"benchmarks": rows, "machine": machine}, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
