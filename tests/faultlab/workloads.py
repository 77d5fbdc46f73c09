"""What goes on while faults strike: orders as a strategy would send them, a burst, a kill, bars."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from infra import broker, kill_line
from schemas.orders import OrderIntent, OrderType, Side
from tests.builders import APPLE, NOON, a_bar, a_cancel
from tests.faultlab.marks import Kill
from tests.faultlab.stage import Stage, drawn
from tests.integration.an_order_path import CLOCK, IBM, a_live_intent, until

D = Decimal
ORDERS = 6
BARS = 400
BURST = 100
BURST_QUANTITY = D(20)
BURST_POSITION_MAX = D(1000)
PRODUCERS = 4
_KILL_SECONDS = 30.0
SYMBOLS = {"AAPL": APPLE, "IBM": IBM}
LIMIT_PRICE = D("430.00")
"""Below the market, within the collar: it rests."""


def _intent(stage: Stage, rng: Random, number: int) -> OrderIntent:
    name = stage.named(number)
    fields: dict[str, Any] = {"intent_id": name, "quantity": D(10 + number), "strategy_id": f"strategy-{number % 3}"}
    if rng.random() < 0.3:
        fields |= {"order_type": OrderType.LIMIT, "limit_price": LIMIT_PRICE}
    elif rng.random() < 0.5:
        symbol = rng.choice(sorted(SYMBOLS))
        fields |= {"symbol": symbol, "contract_id": SYMBOLS[symbol], "side": rng.choice((Side.BUY, Side.SELL))}
    return a_live_intent(number, **fields)


async def orders(stage: Stage, rng: Random) -> None:
    """Orders of some kinds; those that rest are mostly cancelled."""
    for number in range(ORDERS):
        intent = _intent(stage, rng, number)
        await stage.path.tell(intent)
        await asyncio.sleep(drawn(rng, 0, 0.15))
        if intent.order_type is OrderType.LIMIT and rng.random() < 0.8:
            cancel = a_cancel(
                intent_id=f"{intent.intent_id}-cancel", order_id=intent.intent_id, strategy_id=intent.strategy_id,
                event_time=intent.event_time, ingest_time=CLOCK.now(),
            )  # fmt: skip
            await stage.path.tell(cancel)


async def burst(stage: Stage, rng: Random) -> None:
    """A hundred orders of 2 % of the limit each, from four producers in the same moment."""
    intents = [
        a_live_intent(n, intent_id=stage.named(n), strategy_id=f"strategy-{n}", quantity=BURST_QUANTITY)
        for n in range(BURST)
    ]
    rng.shuffle(intents)
    producers = [broker.producer(stage.settings) for _ in range(PRODUCERS)]
    try:
        await asyncio.gather(*(each.start() for each in producers))
        told = (stage.path.send(producers[n % PRODUCERS], intent) for n, intent in enumerate(intents))
        await asyncio.gather(*told)
    finally:
        await asyncio.gather(*(each.stop() for each in producers))


async def kill(stage: Stage, rng: Random) -> None:
    """Orders, and in the middle of them a kill of everything."""
    telling = asyncio.create_task(orders(stage, rng))
    await _first_order_or(stage, _KILL_SECONDS)
    await asyncio.sleep(drawn(rng, 0, 0.4))
    wanted = {"do": "kill", "kill_id": "kill-1", "scope": "global", "reason": "a drill", "by": "laboratory"}
    answer = await kill_line.ask(stage.settings.home, wanted, seconds=_KILL_SECONDS)
    at_ns = round(CLOCK.monotonic() * 1e9)
    await stage.wire.caught_up()
    names = map(stage.named, range(ORDERS))
    written = frozenset(each for each in names if f"{each}\0".encode() in stage.wire.heard)
    stage.marks.kills.append(Kill(at_ns, written, answer["fenced"]))
    await telling


async def _first_order_or(stage: Stage, seconds: float) -> None:
    """A fault may have kept everything back: then it is killed all the same."""
    with contextlib.suppress(AssertionError):
        await until(lambda: asyncio.sleep(0, bool(stage.simulator.lines("order_received"))), seconds=seconds)


async def bars(stage: Stage, rng: Random) -> None:
    """Bars, a few at a time; some are told twice, as a producer does that has had no answer."""
    told = [a_bar(start=NOON + timedelta(seconds=5 * n), volume=float(n)) for n in range(BARS)]
    stage.marks.bars = len(told)
    for begin in range(0, BARS, 40):
        part = told[begin : begin + 40]
        await stage.path.tell(*part)
        if rng.random() < 0.3:
            await stage.path.tell(*part)
        await asyncio.sleep(drawn(rng, 0, 0.05))


async def _kill_switch_listens(stage: Stage) -> None:
    stage.start("kill_switch")
    await until(lambda: asyncio.sleep(0, kill_line.socket_path(stage.settings.home).exists()), seconds=30)


async def _bars_are_stored(stage: Stage) -> None:
    await stage.path.tell(a_bar(start=NOON - timedelta(seconds=5)))
    await until(lambda: stage.path.scalar("SELECT count(*) = 1 FROM bars"), seconds=60)


async def _nothing(stage: Stage) -> None:
    """Services alone do."""


@dataclass(frozen=True)
class Workload:
    """What is told while faults strike, by which services it is handled, and under which limits."""

    matrix: str
    meaning: str
    run: Callable[[Stage, Random], Awaitable[None]]
    services: tuple[str, ...] = ("risk", "executor", "portfolio")
    prepare: Callable[[Stage], Awaitable[None]] = _nothing
    limits: dict[str, Any] = field(default_factory=dict)
    goes_on: bool = True
    """Whether another order has to come through afterwards."""
    programs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Services that are started by another program than their own."""
    takes_minutes: bool = False
    """Too long to take its turn with the others: it is played when it is asked for by its name."""


WORKLOADS = {
    "orders": Workload("", "orders of some kinds, and cancels", orders),
    "burst": Workload(
        "F36",
        "a hundred orders of 2 % of the limit each at once",
        burst,
        limits={"position_max": BURST_POSITION_MAX},
        goes_on=False,
    ),
    "kill": Workload(
        "F35", "a kill of everything in the middle of orders", kill, prepare=_kill_switch_listens, goes_on=False
    ),
    "bars": Workload(
        "F25", "bars, some of them told twice", bars, services=("persister",), prepare=_bars_are_stored, goes_on=False
    ),
}
