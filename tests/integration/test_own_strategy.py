"""A strategy in a file of one's own over collected bars, as a person starts it."""

import asyncio
import hashlib
import json
from pathlib import Path

from engine.answer import answer
from engine.columns import BarColumns
from infra.settings import REPOSITORY, Settings
from tests.bars import APPLE, IBM, real_daily
from tests.integration.test_backtester import a_market, scizor
from tests.unit.test_answer import a_request


async def test_a_file_of_ones_own_runs_over_the_topics_as_the_shipped_one_does(
    stack_settings: Settings, tmp_path: Path
) -> None:
    await a_market(stack_settings)
    file = tmp_path / "my_pair.py"
    file.write_text((REPOSITORY / "engine/strategies/pairs_trading.py").read_text())

    done = await asyncio.to_thread(
        scizor, stack_settings, "backtest", "run", str(file), "--symbols", "AAPL,IBM", "--json"
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    bars = [
        bar for name, number in (("AAPL", APPLE), ("IBM", IBM)) for bar in list(real_daily(name, number).bars())[-500:]
    ]
    columns = BarColumns.of(bars, {APPLE: "AAPL", IBM: "IBM"}, ["real"])
    shipped = answer(a_request(strategy="pairs_trading", parameters={}, symbols=("AAPL", "IBM")), columns)
    assert told["result_hash"] == shipped.result_hash
    assert len(told["fills"]) > 10
    assert told["request"]["code_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()

    astray = await asyncio.to_thread(scizor, stack_settings, "backtest", "run", str(file), "--symbols", "NOPE,IBM")
    assert (astray.returncode, "NOPE" in astray.stderr) == (2, True)
