"""`scizor demo`: the whole path on this machine, on real prices, ending with a check of itself."""

import asyncio
import contextlib
import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from infra.clock import SystemClock
from infra.embedded.ports import free_port
from infra.embedded.running import find_run
from infra.embedded.stack import Stack, StackRunningError
from infra.gateway_simulator.control_client import ControlClient
from infra.keys import new_secret, write_secret
from infra.settings import Settings
from infra.signals import handled
from producers.cli import proof
from producers.cli.config import load_settings
from producers.cli.desk import Desk, NoAnswerError
from producers.cli.keys import make_admin_key
from producers.cli.story import SYMBOLS, Live, Story
from producers.cli.summary import show
from producers.cli.telling import Telling
from schemas.backtest import BacktestFinished

_SPEED = 900.0
_NOW = "2013-02-28T09:20:00-05:00"  # the day may not begin before somebody listens, however slow the machine
_STORE_SECONDS = 60.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Outcome:
    """What the demo found."""

    bars: proof.Bars
    backtests: list[BacktestFinished]
    live: Live
    position_matches_broker: bool
    dead_letters: int
    market_time: str

    def complaints(self) -> list[str]:
        checks = {
            self.bars.complaint() or "": self.bars.complaint() is None,
            f"{self.dead_letters} dead letters: `scizor dlq list` shows them": self.dead_letters == 0,
            "positions differ from the broker's": self.position_matches_broker,
            "nothing was traded": bool(self.live.fills),
            "risk denied nothing": self.live.denied > 0,
        }
        return [complaint for complaint, holds in checks.items() if not holds]


def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Leave after the summary instead of staying up.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Start everything, collect, backtest and trade a market day of 2013 on real prices, then check it all."""
    settings = _own(load_settings())
    run = find_run(settings)
    if run is not None:
        raise StackRunningError(settings.home.resolve(), run.supervisor.pid)
    data = settings.home.resolve() / "demo"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    ledger, token, control_port = data / "ledger.jsonl", data / "control-token", free_port()
    write_secret(token, new_secret())
    options = ["--ledger", str(ledger), "--control-port", str(control_port), "--control-token-file", str(token)]
    clock = SystemClock()
    telling = Telling(clock)
    with _ended_by_sigterm(), Stack(settings, data=data, simulator_options=options) as stack:
        with telling.phase("start", "Kafka, PostgreSQL, the gateway simulator and every service start"):
            stack.start(lambda what, _: telling.step(what))
            make_admin_key(stack.settings)
            stack.wait_ready()
        outcome, memory = asyncio.run(_play(stack, telling, ledger, (control_port, token)))
        document = _document(outcome, telling, memory)
        if as_json:
            print(json.dumps(document), flush=True)
        show(telling.console, document, stack.settings)
        if complaints := outcome.complaints():
            raise proof.ProofFailedError(complaints)
        if not leave:
            telling.note("Everything stays up until Ctrl-C.")
            with contextlib.suppress(KeyboardInterrupt):
                stack.wait()


def _own(settings: Settings) -> Settings:
    """The demo runs on embedded parts alone, at its own market time."""
    return settings.model_copy(
        update={
            "kafka": "",
            "database_url": SecretStr(""),
            "ib_host": "",
            "ib_account": "",
            "topic_prefix": "scizor.",
            "simulator_now": _NOW,
            "simulator_speed": 1.0,
            "collect_daily": False,  # its evening may come before its end, and would bring bars of its own
        }
    )


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with handled(interrupt, signal.SIGTERM):
        yield


async def _play(
    stack: Stack, telling: Telling, ledger: Path, control: tuple[int, Path]
) -> tuple[Outcome, dict[str, float]]:
    settings = stack.settings
    async with Desk(settings) as desk, ControlClient(*control) as simulator:
        story = Story(desk, telling, simulator)
        with telling.phase("validate", f"{len(SYMBOLS)} symbols are validated over the wire"):
            await story.validate()
        with telling.phase("collect", "Daily bars since 2000 are collected over the wire"):
            run = await story.collect()
        with telling.phase("store", "The bars are stored"):
            await _until_stored(settings, run.bars_published)
        with telling.phase("backtest", "Three strategies replay the topic, symbol by symbol"):
            backtests = await story.backtest()
        with telling.phase("live", f"A strategy trades 2013-02-28 at {_SPEED:.0f} times the speed"):
            live = await story.trade(_SPEED)
            memory = stack.memory_mb()
        with telling.phase("check", "Bars, positions and dead letters are compared"):
            state = await simulator.state()
            await _until_stored(settings, run.bars_published + sum(live.bars.values()))
            broker = {int(contract): float(held) for contract, held in state["positions"].items() if float(held)}
            outcome = Outcome(
                bars=await proof.compare_bars(settings, ledger),
                backtests=backtests,
                live=live,
                position_matches_broker=await proof.positions(settings, live.account) == broker,
                dead_letters=await proof.count_dead_letters(settings),
                market_time=state["market_time"],
            )
    return outcome, memory


async def _until_stored(settings: Settings, bars: int) -> None:
    for _ in range(round(_STORE_SECONDS / _LOOK_SECONDS)):
        if await proof.count_stored(settings) >= bars:
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise NoAnswerError(f"{bars:,} bars in the database", _STORE_SECONDS)


def _document(outcome: Outcome, telling: Telling, memory: dict[str, float]) -> dict[str, Any]:
    metrics = ("total_return", "sharpe", "max_drawdown")
    backtests = [
        {
            "strategy": each.request.strategy,
            "symbol": each.request.symbols[0],
            "trades": int(each.metrics["trades"] or 0),
        }
        | {name: each.metrics[name] for name in metrics}
        for each in outcome.backtests
    ]
    live = outcome.live
    return {
        "market_time": outcome.market_time,
        "symbols": list(SYMBOLS),
        "bars_served": outcome.bars.served,
        "bars_published": outcome.bars.published,
        "bars_stored": outcome.bars.stored,
        "bars_digest": outcome.bars.digests[0],
        "backtests": backtests,
        "live": {
            "signals": live.signals,
            "intents": live.intents,
            "denied": live.denied,
            "denied_because": live.denial,
            "orders": len(live.orders),
            "fills": len(live.fills),
            "position_matches_broker": outcome.position_matches_broker,
        },
        "dead_letters": outcome.dead_letters,
        "seconds": telling.seconds,
        "memory_mb": {name: round(size, 1) for name, size in memory.items()},
    }
