"""A result told as messages is the same result; what is told falsely is no result."""

from dataclasses import replace
from typing import Any

import msgspec
import orjson
import pytest

from engine import backtest
from engine.backtest import BacktestOptions, BacktestResult
from engine.facts import Split
from engine.market import Market
from engine.result_messages import Heard, NonsenseError, told_result
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from tests.bars import APPLE, columns_of, random_bars

COLUMNS = columns_of(random_bars(3, 300))
RESULT = backtest.run(COLUMNS, MovingAverageCrossover, MovingAverageCrossover.Config(fast=3, slow=8))
END = {"done": True, "class": "Mine", "parameters": {}, "unfilled": 0, "warmup": 1}


def told() -> list[Any]:
    """Every message as it comes out of the line."""
    messages = []
    for each in told_result(RESULT):
        if isinstance(each, str):
            messages.append(orjson.loads(each))
        else:
            messages.append(each if isinstance(each, dict) else each.tobytes())
    return messages


def heard(*messages: Any) -> BacktestResult | None:
    listener = Heard(COLUMNS, BacktestOptions())
    results = [listener.take(each) for each in messages]
    return results[-1]


def fills(**changes: Any) -> dict[str, Any]:
    (first, *_) = RESULT.executions
    return {"list": "executions", "items": [msgspec.to_builtins(first) | changes]}


def test_what_is_told_is_what_is_heard() -> None:
    result = heard(*told())

    assert result is not None
    assert len(result.executions) > 20
    assert result.result_hash == RESULT.result_hash
    assert result.metrics == RESULT.metrics
    assert result.indicators.keys() == RESULT.indicators.keys()


def test_a_very_long_run_tells_no_values_of_its_indicators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.result_messages.SERIES_BYTES_MAX", 8 * len(COLUMNS))

    result = heard(*told())

    assert result is not None
    assert (len(result.indicators), result.result_hash) == (1, RESULT.result_hash)
    assert len(RESULT.indicators) > 1


def test_a_message_stays_small_whatever_reasons_are_given() -> None:
    longer = [msgspec.structs.replace(each, reason="because " * 10_000) for each in RESULT.executions]
    result = replace(RESULT, executions=tuple(longer))

    assert max(len(each) for each in told_result(result) if isinstance(each, str)) < 65_536


@pytest.mark.parametrize(
    "messages",
    [
        [fills(row=-1), END],
        [fills(row=300), END],
        [fills(row=0), END],
        [fills(contract_id=8314), END],
        [fills(price=1e6), END],
        [fills(price=None), END],
        [fills(quantity=0.0), END],
        [fills(quantity=1e300), END],
        [fills(commission=-1e300), END],
        [fills(row=2**70), END],
        [fills() | {"list": "gifts"}, END],
        [{"list": "executions", "items": 5}, END],
        [{"list": "flows", "items": [{"contract_id": 0, "time_us": 0, "amount": 1e300, "kind": "gift"}]}, END],
        [
            {
                "list": "splits",
                "items": [{"row": 5, "contract_id": 1, "ratio": 0, "held": 0, "fraction": 0, "price": 0}],
            },
            END,
        ],
        [{"series": "a"}, bytes(2400 + 8), END],
        [{"series": "a"}, bytes(2400 - 8), END],
        [{"series": "a"}, {"series": "b"}, END],
        [bytes(8), END],
        [{"hello": 1}, END],
        [END | {"parameters": {"deep": [[[[[[[]]]]]]]}}],
        [END | {"parameters": 5}],
        [END | {"more": 5}],
        [{"done": True}],
    ],
)
def test_what_cannot_be_is_refused(messages: list[Any]) -> None:
    with pytest.raises(NonsenseError, match="told no result"):
        heard(*messages)


def split_run() -> tuple[BacktestResult, Market]:
    (start, *_) = (int(each) for each in COLUMNS.start_us[100:101])
    market = Market(actions=(Split(APPLE, start, 1.5),))
    config = MovingAverageCrossover.Config(fast=3, slow=8, short=True)
    return backtest.run(COLUMNS, MovingAverageCrossover, config, market=market), market


@pytest.mark.parametrize(
    "changes", [{}, {"row": 101}, {"ratio": 2.0}, {"held": 1e9}, {"fraction": 5.0}, {"price": 1.0}], ids=str
)
def test_a_split_is_believed_only_as_it_was_handed_in(changes: dict[str, Any]) -> None:
    result, market = split_run()
    (split,) = result.turns.splits
    assert split.held
    listener = Heard(COLUMNS, BacktestOptions(), market)
    listener.take({"list": "executions", "items": [msgspec.to_builtins(each) for each in result.executions]})
    listener.take({"list": "splits", "items": [msgspec.to_builtins(split) | changes]})
    if not changes:
        told = listener.take(END)
        assert told is not None
        assert told.result_hash == result.result_hash
        return
    with pytest.raises(NonsenseError, match="a split that cannot be"):
        listener.take(END)


def test_a_split_is_believed_once() -> None:
    result, market = split_run()
    listener = Heard(COLUMNS, BacktestOptions(), market)
    listener.take({"list": "executions", "items": [msgspec.to_builtins(each) for each in result.executions]})
    listener.take({"list": "splits", "items": [msgspec.to_builtins(each) for each in result.turns.splits * 2]})

    with pytest.raises(NonsenseError, match="a split that cannot be"):
        listener.take(END)
