"""The demo as a whole: its memory (proportional set size of all processes) and its warm wall time."""

import json
import subprocess
import sys
from typing import Any

from infra.settings import REPOSITORY

_MEMORY_LIMIT_MB = 1200.0
_WARM_LIMIT_SECONDS = 60.0


def run(quick: bool) -> list[dict[str, Any]]:
    """`raw` is the promised limit here, `ratio` the share of it that was used."""
    command = [sys.executable, "-m", "producers.cli.main", "demo", "--exit", "--json"]
    documents = []
    for _ in range(1 if quick else 3):
        done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, timeout=600)
        documents.append(json.loads(done.stdout))
    totals = sorted(sum(document["memory_mb"].values()) for document in documents)
    seconds = sorted(sum(document["seconds"].values()) for document in documents)
    memory, wall = totals[len(totals) // 2], seconds[len(seconds) // 2]
    return [
        _row("demo.memory", memory, "MB", _MEMORY_LIMIT_MB, documents[0]["memory_mb"]),
        _row("demo.warm", wall, "s", _WARM_LIMIT_SECONDS, documents[0]["seconds"]),
    ]


def _row(name: str, value: float, unit: str, limit: float, detail: object) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "raw": limit, "ratio": value / limit, "detail": detail}
