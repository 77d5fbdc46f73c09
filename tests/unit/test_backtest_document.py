"""What `backtest run --json` prints."""

import json

import numpy as np

from engine import answer
from engine.ledger import Curve
from engine.statistics import session_ends
from producers.cli.backtest_document import document
from tests.bars import real_daily
from tests.builders import SEEN
from tests.unit.test_answer import a_request

REQUEST = a_request(parameters={"fast": 10, "slow": 30}, cash=1_000_000.0)
RESULT = answer.answer(REQUEST, real_daily("AAPL"))
DONE = answer.finished(REQUEST, RESULT, code_hash="c0de", now=SEEN)


def test_the_document_begins_with_the_same_keys_for_every_run() -> None:
    whole, short = document(DONE), document(DONE, series=False)
    failed = document(answer.failed(REQUEST, "no bars of AAPL", now=SEEN))

    names = ["id", "result_hash", "final_equity", "metrics", "fills", "trades", "equity"]
    assert list(whole)[:7] == list(failed)[:7] == names
    assert list(short)[:6] == names[:6]
    assert not {"equity", "benchmark"} & set(short)
    assert (failed["succeeded"], failed["error"], failed["final_equity"]) == (False, "no bars of AAPL", None)
    assert list(whole["fills"][0]) == ["time", "symbol", "side", "quantity", "price", "commission"]
    assert list(whole["trades"][0])[:4] == ["entry_time", "entry_price", "exit_time", "exit_price"]
    assert list(whole["trades"][0])[4:7] == ["quantity", "pnl", "commission"]


def test_numbers_come_back_from_the_document_as_they_were_computed() -> None:
    told = json.loads(json.dumps(document(DONE)))

    executions, trips = RESULT.executions, RESULT.round_trips
    assert [(each["price"], each["commission"]) for each in told["fills"]] == [
        (each.price, each.commission) for each in executions
    ]
    assert any(len(repr(each.commission)) > 12 for each in executions), "some would change when rounded"
    assert [each["pnl"] for each in told["trades"]] == [each.pnl for each in trips]
    assert told["equity"]["value"] == RESULT.curve.equity.tolist()
    assert told["benchmark"] == RESULT.benchmark.tolist()
    assert told["final_equity"] == RESULT.metrics.final_equity


def test_few_sessions_of_many_bars_keep_every_session() -> None:

    times = np.concatenate([day * 86_400_000_000 + np.arange(1, 391) * 60_000_000 for day in range(100)])
    curve = Curve(times, np.linspace(100, 101, len(times)), np.zeros(len(times)), 100.0)

    points = answer._points(curve, curve.equity)

    assert 19_000 < len(points) <= answer.POINTS_MAX < len(times)
    assert set(curve.equity[session_ends(times)].tolist()) <= {value for _, value in points}
