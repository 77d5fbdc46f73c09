"""`python -m consumers.backtester.long_worker`: one long run in a process that holds little else.

It is told what to do in one line, tells how far it is, and at last what came of it. It ends when nobody listens.
"""

import json
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from engine.long_answer import Long, answer_long
from engine.material import SURVIVORS
from engine.registry import strategy_class
from infra.bar_scratch import ScratchBars
from schemas.backtest import BacktestRequested


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_other_side, daemon=True).start()
    try:
        done, trial = _answered(asked)
    except ValueError as error:
        _tell({"failed": str(error)})
    except MemoryError:
        _tell({"failed": "out of memory: fewer symbols, or larger bars"})
    else:
        _tell({"finished": done, "trial": trial})


def _answered(asked: dict[str, Any]) -> tuple[str, str]:
    request = BacktestRequested.model_validate(asked["request"])
    beside = asked["benchmark"]
    long = Long(
        request,
        strategy_class(request.strategy),
        ScratchBars.of(asked["bars"]),
        None if beside is None else ScratchBars.of(beside),
        notes=(SURVIVORS,) if asked["all_survived"] else (),
    )
    moment = datetime.fromisoformat(asked["now"]).astimezone(UTC)  # whoever asks says anew when it was finished
    told = lambda done, total: _tell({"done": done, "total": total})  # noqa: E731 - one word more for a name than for it
    done, trial = answer_long(long, told, code_hash=asked["code_hash"], now=lambda: moment)
    return done.model_dump_json(), trial.model_dump_json()


def _tell(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _end_with_the_other_side() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
