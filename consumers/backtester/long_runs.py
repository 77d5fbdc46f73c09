"""A run over more bars than are wanted in memory: a process of its own reads them piece by piece from a file."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from infra.bar_scratch import Scratch
from infra.errors import EnvironmentUnhealthyError
from infra.long_bars import LongBars
from infra.settings import Settings
from schemas.backtest import BacktestFinished, BacktestRequested, Trial

_LINE_MAX = 64 * 2**20
_LOOK_SECONDS = 0.5
_WORDS_MAX = 500


class LongRunFailedError(ValueError):
    """It could not be: one line that says why."""


class LongRun:
    """One of them. `on_read` and `on_progress` may raise to give up, and are asked while nothing happens, too."""

    def __init__(
        self, settings: Settings, on_read: Callable[[int], None], on_progress: Callable[[int, int], None]
    ) -> None:
        self._settings = settings
        self._on_read = on_read
        self._on_progress = on_progress
        self._done, self._total = 0, 0

    async def answer(
        self, request: BacktestRequested, bars: LongBars, code_hash: str, now: Callable[[], datetime]
    ) -> tuple[BacktestFinished, Trial]:
        """Raises LongRunFailedError, or EnvironmentUnhealthyError when the process ended without a word."""
        with Scratch(self._settings.home) as scratch:
            own, benchmark = await bars.written(scratch, self._on_read)
            asked = {
                "request": request.model_dump(mode="json"),
                "bars": own.words(),
                "benchmark": None if benchmark is None else benchmark.words(),
                "all_survived": bars.all_survived,
                "code_hash": code_hash,
                "now": now().isoformat(),
            }
            told = await self._run(json.dumps(asked))
        if "failed" in told:
            raise LongRunFailedError(told["failed"])
        done, trial = BacktestFinished.model_validate_json(told["finished"]), Trial.model_validate_json(told["trial"])
        moment = now()
        return tuple(each.revised(event_time=moment, ingest_time=moment) for each in (done, trial))  # type: ignore[return-value] # two in, two out

    async def _run(self, asked: str) -> dict[str, Any]:
        """The last line that the process tells."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "consumers.backtester.long_worker",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LINE_MAX,
        )
        errors = asyncio.create_task(_last_words(process))
        try:
            assert process.stdin is not None, "it was asked for"
            process.stdin.write(asked.encode() + b"\n")
            while line := await self._line(process):
                told: dict[str, Any] = json.loads(line)
                if "done" not in told:
                    return told
                self._done, self._total = told["done"], told["total"]
                self._on_progress(self._done, self._total)
            await process.wait()
            words = await errors or "it said nothing"
            raise EnvironmentUnhealthyError(
                f"the process of a long run ended with {process.returncode}, perhaps out of memory: {words}"
            )
        finally:
            errors.cancel()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _line(self, process: Process) -> bytes:
        assert process.stdout is not None, "it was asked for"
        reading = asyncio.create_task(process.stdout.readline())
        try:
            while not (await asyncio.wait({reading}, timeout=_LOOK_SECONDS))[0]:
                self._on_progress(self._done, self._total)
            return reading.result()
        finally:
            reading.cancel()


async def _last_words(process: Process) -> str:
    """The end of what it complained about."""
    assert process.stderr is not None, "it was asked for"
    kept = b""
    while part := await process.stderr.read(4096):
        kept = (kept + part)[-_WORDS_MAX:]
    return " ".join(kept.decode(errors="replace").split())
