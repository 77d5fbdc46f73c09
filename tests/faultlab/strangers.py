"""Strategies that trade while a stranger's misbehaves beside them: texts as they were uploaded, run in the sandbox."""

import asyncio
import hashlib
import textwrap
from datetime import timedelta
from random import Random

from schemas.strategy import Deploy, Start
from schemas.validation import Symbol, SymbolState
from tests.builders import APPLE, NOON, a_bar, a_contract
from tests.faultlab.faults import fault
from tests.faultlab.stage import Stage, drawn
from tests.faultlab.workloads import WORKLOADS, Workload
from tests.integration.a_trading_floor import COMMAND, WHEN, a_deployment
from tests.integration.an_order_path import CLOCK, IBM, until

GOOD, BAD = "good", "bad"
ORDERS_A_MINUTE = 12
BARS_MIN = 48
_BETWEEN_SECONDS = 0.04
_LOOK_SECONDS = 0.2
_READY_SECONDS = 45.0
_CONTRACTS = {"AAPL": APPLE, "IBM": IBM}
_HEAD = """\
from engine.strategy import BaseStrategy, StrategySignal


class Mine(BaseStrategy):
    def on_start(self):
        self.bars = 0

    def on_bar(self, bar):
        self.bars += 1
"""
_WELL = "return StrategySignal.target(bar.contract_id, float(self.bars // 16 % 2))"
_OS = "os = __import__('os')\n"


def written(body: str) -> str:
    """A strategy that does this on every bar."""
    return _HEAD + textwrap.indent(textwrap.dedent(body).strip() + "\n", " " * 8)


def _deployment(name: str, symbol: str, source: str) -> tuple[Deploy, Start]:
    deploy = a_deployment(
        strategy_id=name, command_id=f"{name}-deploy", strategy="mine", source=source, parameters={}, quantity=10.0,
        code_sha256=hashlib.sha256(source.encode()).hexdigest(), symbols=(symbol,), bar_size_seconds=5,
    )  # fmt: skip
    return deploy, Start(**COMMAND | {"strategy_id": name, "command_id": f"{name}-start"})


async def _started(stage: Stage, name: str, symbol: str, source: str) -> None:
    await stage.path.tell(*_deployment(name, symbol, source))
    await until(lambda: _is(stage, name, "running", "failed"), seconds=_READY_SECONDS)


async def _is(stage: Stage, name: str, *states: str) -> bool:
    await asyncio.sleep(_LOOK_SECONDS)  # each look reads a topic from its beginning
    told = [each for each in await stage.path.events("strategy.state.v1") if each.strategy_id == name]
    return bool(told) and told[-1].state in states


async def _good_runs(stage: Stage) -> None:
    for symbol, contract_id in _CONTRACTS.items():
        contract = a_contract(contract_id=contract_id, symbol=symbol)
        await stage.path.tell(
            Symbol(symbol_id=symbol, symbol=symbol, state=SymbolState.VALID, contract=contract, **WHEN)
        )
    await _started(stage, GOOD, "AAPL", written(_WELL))


async def strategies(stage: Stage, rng: Random) -> None:
    """Bars come, and a strategy trades on them; as long as it takes until the one beside it has been dealt with."""
    told = 0
    while told < BARS_MIN or told % 8 or not await _dealt_with(stage):
        now, start = CLOCK.now(), NOON + timedelta(seconds=5 * told)
        bars = [a_bar(contract_id=key, symbol=symbol, start=start, ingest_time=now, volume=float(told))
                for symbol, key in _CONTRACTS.items()]  # fmt: skip
        await stage.path.tell(*bars)
        told += 1
        await asyncio.sleep(drawn(rng, 0.5, 1.5) * _BETWEEN_SECONDS)
    stage.marks.strategies[GOOD] = ("running", told)


async def _dealt_with(stage: Stage) -> bool:
    if BAD in stage.marks.throttled:
        denied = "SELECT count(*) > 0 FROM decisions WHERE strategy_id = :bad AND NOT approved"
        return bool(await stage.path.scalar(denied, bad=BAD))
    return BAD not in stage.marks.strategies or await _is(stage, BAD, "failed")


WORKLOADS["strategies"] = Workload(
    "",
    "an uploaded strategy trades",
    strategies,
    services=("strategist", "risk", "executor", "portfolio"),
    prepare=_good_runs,
    limits={"strategy_orders_per_minute_max": ORDERS_A_MINUTE},
)


# F39


def _misbehaves(name: str, meaning: str, *bodies: str) -> None:
    @fault(f"strategy-{name}", "F39", f"an uploaded strategy {meaning}: it is stopped alone", work="strategies",
           pairs=False)  # fmt: skip
    async def _(stage: Stage, rng: Random) -> None:
        stage.marks.strategies[BAD] = ("failed", 0)
        at_bar = f"if self.bars < {rng.randint(1, 5)}:\n    {_WELL}\n"
        await _started(stage, BAD, "IBM", written(at_bar + textwrap.dedent(rng.choice(bodies))))
        await until(lambda: _is(stage, BAD, "failed"), seconds=_READY_SECONDS)


_misbehaves("hangs", "does not come back", "while True:\n    pass", f"{_OS}os.read(0, 1)\nos.read(0, 10**6)")
_misbehaves("floods", "tells ten thousand signals at a bar, or asks for as many orders",
            "return [StrategySignal.target(bar.contract_id, float(n % 2)) for n in range(10_000)]",
            "for n in range(10_000):\n    self.buy(bar.contract_id, 1)")  # fmt: skip
_misbehaves("leaves", "ends its process", f"{_OS}os._exit(0)", "raise SystemExit(0)", f"{_OS}os.abort()")
_misbehaves("takes-memory", "takes all the memory that it can get",
            "self.held = [bytes(10**7) for _ in range(1000)]",
            "self.held = getattr(self, 'held', []) + [bytearray(10**8)]")  # fmt: skip


@fault("strategy-trades-wildly", "F39", "an uploaded strategy changes its mind at every bar: it is slowed down, alone",
       work="strategies", pairs=False)  # fmt: skip
async def _trades_wildly(stage: Stage, rng: Random) -> None:
    stage.marks.throttled[BAD] = ORDERS_A_MINUTE
    await _started(stage, BAD, "IBM", written("return StrategySignal.target(bar.contract_id, float(self.bars % 2))"))
    await stage.worked.wait()
