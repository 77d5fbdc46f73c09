"""A long run in a process of its own: its result, its refusal, its end without a word, and who gives it up."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumers.backtester.long_runs import LongRun, LongRunFailedError
from engine import answer
from engine.columns import COLUMNS, BarColumns
from infra.bar_runs import Arrays
from infra.errors import EnvironmentUnhealthyError
from infra.long_bars import LongBars
from infra.series_replay import Runs
from infra.settings import Settings
from schemas.backtest import BacktestRequested
from tests.bars import APPLE, real_daily
from tests.builders import SEEN
from tests.unit.test_answer import a_request

DAYS = real_daily("AAPL")


class GivenUpError(Exception):
    """Nobody wants it any more."""


def the_bars(columns: BarColumns = DAYS) -> LongBars:
    arrays = {name: getattr(columns, name) for name in COLUMNS}
    runs = Runs(Counter({APPLE: len(columns)}), ("real",), lambda ids: [], lambda rows: rows)

    def portions(contract_ids: Any) -> Iterator[Arrays]:
        for first in range(0, len(columns), 1000):
            yield {name: values[first : first + 1000] for name, values in arrays.items()}

    object.__setattr__(runs, "portions", portions)
    return LongBars(runs, {APPLE: "AAPL"}, None, all_survived=False)


async def ran(home: Path, request: BacktestRequested, heard: Any = lambda done, total: None) -> Any:
    run = LongRun(Settings(home=home), lambda count: None, heard)
    try:
        return await run.answer(request, the_bars(), "c0de", lambda: SEEN)
    finally:
        assert not list((home / "scratch").iterdir()), "the bars are gone with the run"


async def test_the_result_is_the_ordinary_one_and_progress_is_told(tmp_path: Path) -> None:
    request, heard = a_request(parameters={"fast": 5, "slow": 20}), list[tuple[int, int]]()

    done, trial = await ran(tmp_path, request, lambda done, total: heard.append((done, total)))

    result = answer.answer(request, DAYS)
    assert done.model_dump(exclude={"metrics"}) == answer.finished(
        request, result, code_hash="c0de", now=SEEN
    ).model_dump(exclude={"metrics"})
    assert trial.trial_id == answer.trial(done, result).trial_id
    assert heard[-1] == (len(DAYS), len(DAYS))


async def test_what_cannot_be_is_one_line_and_a_process_that_dies_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LongRunFailedError, match=r"^no bars of IBM: collect them first, or widen the dates$"):
        await ran(tmp_path, a_request(symbols=("AAPL", "IBM")))
    monkeypatch.setattr("consumers.backtester.long_runs.sys.executable", "/bin/false")
    with pytest.raises(EnvironmentUnhealthyError, match="ended with 1, perhaps out of memory: it said nothing"):
        await ran(tmp_path, a_request())


async def test_whoever_gives_it_up_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*arguments: Any, **rest: Any) -> asyncio.subprocess.Process:
        started.append(await start(*arguments, **rest))
        return started[-1]

    def give_up(done: int, total: int) -> None:
        raise GivenUpError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    with pytest.raises(GivenUpError):
        await ran(tmp_path, a_request(), give_up)

    (process,) = started
    assert process.returncode is not None
