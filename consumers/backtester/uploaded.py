"""Backtests of strategies that somebody uploaded: the whole loop runs in the sandbox, only results come out of it."""

import hashlib
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.answer import prepared
from engine.backtest import BacktestOptions, BacktestResult
from engine.columns import BarColumns
from engine.handed_in import HandedIn
from engine.market import Market
from engine.material import Material
from engine.result_messages import Heard, NonsenseError
from infra.errors import UsageError
from infra.sandbox.conversation import Limits
from infra.sandbox.errors import SandboxedError, SandboxUnavailableError
from infra.sandbox.sandbox import Sandbox
from infra.settings import Settings
from infra.store import uploads
from infra.store.database import Store
from schemas.backtest import BacktestRequested

ENTRY = "engine.sandboxed:backtest"

_FEW_BYTES = 16 * 2**20
_BYTES_A_BAR = 512
_BYTES_MAX = 256 * 2**20
_FEW_SECONDS, _SECONDS_A_BAR, _SECONDS_MAX = 30.0, 0.001, 3600.0
_MEMORY_BYTES, _MEMORY_A_BAR, _MEMORY_BYTES_MORE = 512 * 2**20, 64, 2**30
_WALL = 3.0
"""Seconds of the wall for one of the processor: others need it too."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Text:
    """What runs, under which name."""

    name: str
    source: str
    parameters: dict[str, Any]


async def text_of(settings: Settings, request: BacktestRequested) -> Text:
    """The version that the request names. Raises UsageError when it is not to be had."""
    store = Store(settings, "backtester")
    try:
        async with store.reading() as connection:
            source = await uploads.source_of(connection, request.strategy, request.code_sha256)
    finally:
        await store.close()
    if source is None or hashlib.sha256(source).hexdigest() != request.code_sha256:
        raise UsageError(f"{request.strategy} has no version {request.code_sha256[:12]}: upload it, and ask again")
    return Text(request.strategy, source.decode(), request.parameters)


def code_hash_of(request: BacktestRequested, engine: str) -> str:
    """Which code computes the result: the engine's and, when one was uploaded, the strategy's."""
    return hashlib.sha256(f"{engine}:{request.code_sha256}".encode()).hexdigest() if request.code_sha256 else engine


def answer_inside(
    sandbox: Sandbox, text: Text, request: BacktestRequested, material: Material, on_progress: OnProgress
) -> BacktestResult:
    """As `engine.answer.answer`, inside. Raises ValueError or SandboxedError, in one line, for what goes wrong."""
    wanted, options = prepared(request, material.columns)
    try:
        result = run_inside(sandbox, text, wanted, options, on_progress, market=material.market)
        _ = result.round_trips, result.metrics  # computed here, where what fails is the teller's fault
        return result
    except (ArithmeticError, LookupError) as error:
        raise NonsenseError(f"it does not add up: {type(error).__name__} {error}") from error
    finally:
        with suppress(SandboxUnavailableError):  # the next run tells it
            sandbox.keep_ready(ENTRY)  # whoever uploads a strategy runs it more than once


def run_inside(
    sandbox: Sandbox,
    text: Text,
    columns: BarColumns,
    options: BacktestOptions,
    on_progress: OnProgress = lambda done, total: None,
    limits: Limits | None = None,
    market: Market | None = None,
) -> BacktestResult:
    """Run a text over columns. What `on_progress` raises gives up at once, also while the strategy is silent."""
    limits = limits or limits_for(len(columns))
    heard = Heard(columns, options, market)
    how_far = _HowFar(len(columns), on_progress)
    handed_in = HandedIn.of(columns, market)
    with sandbox.start(ENTRY, limits, handed_in.buffers) as child:
        child.send(_task(text, options, handed_in), how_far.tell)
        while True:
            told = child.receive(how_far.tell)
            if isinstance(told, dict) and "failed" in told:
                raise SandboxedError(plain(str(told["failed"])))
            if isinstance(told, dict) and how_far.took(told):
                continue
            if (result := heard.take(told)) is not None:
                return result


class _HowFar:
    """How many bars are done, as the process inside says, within reason."""

    def __init__(self, bars: int, on_progress: OnProgress) -> None:
        self._bars = bars
        self._done = 0
        self._on_progress = on_progress

    def took(self, told: dict[str, Any]) -> bool:
        done = told.get("bars_done")
        if isinstance(done, int):
            self._done = min(max(done, self._done), self._bars)
        return isinstance(done, int)

    def tell(self) -> None:
        self._on_progress(self._done, self._bars)


def _task(text: Text, options: BacktestOptions, handed_in: HandedIn) -> dict[str, Any]:
    return {
        "name": text.name,
        "source": text.source,
        "parameters": text.parameters,
        "options": msgspec.to_builtins(options),
        "handed_in": handed_in.words,
    }


def plain(failure: str) -> str:
    """Without the class of an error of ours, whose text says it all."""
    kind, _, rest = failure.partition(": ")
    return rest if rest and kind in ("ValueError", "StrategySourceError", "ParameterError") else failure


def limits_for(bars: int) -> Limits:
    """What a run over so many bars may take: of the processor 30 s and a millisecond a bar, of the wall three times
    that. A single call of the strategy has a second, which is watched inside."""
    seconds = min(_FEW_SECONDS + _SECONDS_A_BAR * bars, _SECONDS_MAX)
    return Limits(
        turn_seconds=_WALL * seconds,
        cpu_seconds=math.ceil(seconds),
        turn_bytes=min(_FEW_BYTES + _BYTES_A_BAR * bars, _BYTES_MAX),
        memory_bytes=_MEMORY_BYTES + min(_MEMORY_A_BAR * bars, _MEMORY_BYTES_MORE),
    )
