"""A member of the backtester's group whose runs take their time: started as a process of its own, to be killed."""

import os
import time
from pathlib import Path
from typing import Any

from engine import answer
from engine.registry import strategy_class
from infra import consume

REBALANCE_MS = 3_000
"""Whoever is busy for longer while others come and go loses its requests to them."""


NO_LONGER_SLOW = "no-longer-slow"
"""A file of the home: once it is there, a run has no more to wait for."""


class Slow(strategy_class("buy_and_hold")):  # type: ignore[misc] # a base that is found by name
    """Takes its time on every bar."""

    def on_bar(self, bar: Any) -> None:
        if not Path(os.environ["SCIZOR_HOME"], NO_LONGER_SLOW).exists():
            time.sleep(0.05)


def main() -> None:
    from consumers.backtester.__main__ import main as backtester

    setattr(answer, "strategy_class", lambda name: Slow)  # noqa: B010 - what a module imports is not its own
    consume._REBALANCE_MS = REBALANCE_MS
    backtester()


if __name__ == "__main__":
    main()
