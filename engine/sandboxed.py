"""What the sandbox calls inside: describe a strategy's text, run it, search by it, or let it live bar after bar.

Each entry point is handed a line to the process outside, and first receives what it is to do.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from engine.backtest import BacktestOptions, run
from engine.facts import Bar, Tick
from engine.handed_in import by_contract, columns_in, market_in
from engine.research.stretches import Parts, Stretch
from engine.result_messages import told_result
from engine.strategy import BaseStrategy, StrategySignal
from engine.strategy_source import at_line, strategy_from, told

if TYPE_CHECKING:
    from engine.host import StrategyHost
    from engine.live.desk import LiveDesk


SIGNALS_MAX = 10
"""After one bar."""
_WRONG_MAX = 500


class Line(Protocol):
    """To the process outside."""

    @property
    def columns(self) -> memoryview | None:
        """What was handed in, as `engine.handed_in` reads it."""

    def receive(self) -> dict[str, Any]:
        """The next message."""

    def send(self, message: Any, /) -> None:
        """A message (a dict, or its JSON), or raw bytes."""

    def watch(self, file: str, /) -> None:
        """From now on tell and end this when a single call into the code of `file` computes too long."""


def _begun(line: Line) -> tuple[dict[str, Any], type[BaseStrategy]]:
    """The task, and the class that its text defines."""
    task = line.receive()
    line.watch(f"{task['name']}.py")
    return task, strategy_from(task["source"], task["name"])


def describe(line: Line) -> None:
    """Tell what a text defines: `{"class", "description", "parameters", "schema", "warmup"}`."""
    task, strategy = _begun(line)
    try:
        warmup = strategy(strategy.Config.parse({})).warmup
    except Exception as error:
        where = at_line(error, f"{task['name']}.py")
        raise ValueError(f"it does not start with its defaults: {told(error)}{where}") from error
    line.send(
        {
            "class": strategy.__name__,
            "description": (strategy.__doc__ or "").strip().partition("\n")[0],
            "parameters": strategy.Config().model_dump(mode="json"),
            "schema": strategy.Config.model_json_schema(),
            "warmup": warmup,
        }
    )


def backtest(line: Line) -> None:
    """Run a text over the columns and tell the result, field by field, as `told_result` does."""
    task, strategy = _begun(line)
    assert line.columns is not None, "a backtest is given columns"
    columns, market = columns_in(line.columns, task["handed_in"]), market_in(line.columns, task["handed_in"])
    options = msgspec.convert(task["options"], BacktestOptions)
    config = strategy.Config.parse(task["parameters"])
    try:
        result = run(columns, strategy, config, options, lambda done, total: line.send({"bars_done": done}), market)
    except Exception as error:
        where = at_line(error.__cause__ or error, f"{task['name']}.py")
        raise ValueError(f"{error}{where}") from error
    for message in told_result(result):
        line.send(message)


def search(line: Line) -> None:
    """Run parameter sets of a text, one after the other, each over a stretch of the columns.

    First its defaults are told. Parameters are answered by `{"wrong"}`, in one line, empty for nothing; with a stretch
    by the bars before it that they need, `{"before"}`, and a result as `backtest` tells one, or by `{"wrong"}`.
    """
    task, strategy = _begun(line)
    assert line.columns is not None, "a search is given columns"
    parts = Parts(columns_in(line.columns, task["handed_in"]))
    options = msgspec.convert(task["options"], BacktestOptions)
    line.send({"defaults": strategy.Config().model_dump(mode="json")})
    while True:
        asked = line.receive()
        try:
            config = strategy.Config.parse(asked["parameters"])
            if "stretch" not in asked:
                line.send({"wrong": ""})
                continue
            stretch = Stretch(*asked["stretch"])
            before = max(strategy(config).warmup - 1, 0) if stretch.warm else 0
            line.send({"before": before})
            result = run(parts.of(stretch, before), strategy, config, options)
        except Exception as error:  # noqa: BLE001 # a strategy may raise whatever it likes: the next set is another run
            where = at_line(error.__cause__ or error, f"{task['name']}.py")
            said = str(error) if isinstance(error, ValueError) else told(error)
            line.send({"wrong": f"{said or told(error)}{where}"[:_WRONG_MAX]})
            continue
        for message in told_result(replace(result, indicators={})):
            line.send(message)


def live(line: Line) -> None:
    """Take bars, ticks, fills and news one by one, and answer each with the signals and orders that follow."""
    from engine.host import StrategyHost  # a backtest starts sooner without it
    from engine.live.desk import LiveDesk

    task, strategy = _begun(line)
    symbols = by_contract(task["symbols"])
    desk = LiveDesk(task.get("capital"))
    desk.full = dict.fromkeys(symbols, float(task.get("full", 0.0)))
    host = StrategyHost(strategy, strategy.Config.parse(task["parameters"]), symbols, desk=desk)
    desk.positions = host.strategy.positions
    begun = {"warmup": host.warmup, "settled": host.settled}
    signals: list[StrategySignal] = []
    while True:
        told = {"signals": signals, "asked": desk.drain(), "alarms": desk.drain_alarms()}
        line.send({**msgspec.to_builtins(told), "state": host.snapshot(), **begun})
        begun, asked = {}, line.receive()
        if (account := asked.get("account")) is not None:
            full = {int(contract_id): shares for contract_id, shares in account["full"].items()}
            desk.show(account["contract_id"], account["price"], full, account["spent"])
        signals = _answer(host, desk, asked)


def _answer(host: "StrategyHost", desk: "LiveDesk", asked: Mapping[str, Any]) -> list[StrategySignal]:
    if "bar" in asked:
        return host.on_bar(Bar(*asked["bar"]))
    if "tick" in asked:
        return host.on_tick(Tick(*asked["tick"]))
    if "moment" in asked:
        from engine.moments import Moment

        desk.between_bars()
        return host.on_moment(msgspec.convert(asked["moment"], Moment))
    if "news" in asked:
        from engine.order_requests import OrderNews, OrderState

        number, contract_id, state, *rest = asked["news"]
        news = OrderNews(number, contract_id, OrderState(state), *rest)
        desk.hear(news)
        host.strategy.on_order(news)
    elif "fill" in asked:
        from schemas.orders import Fill

        host.on_fill(Fill.model_validate(asked["fill"]))
    elif "hold" in asked:
        contract_id, quantity, average_price = asked["hold"]
        host.hold(contract_id, Decimal(quantity), Decimal(average_price))
    else:
        host.warm_up(Bar(*each) for each in asked["past"])
    return []


def heard_signals(answer: Mapping[str, Any]) -> list[StrategySignal]:
    """The signals of a live strategy's answer. Raises ValueError when they are none, or more than anybody follows."""
    signals = msgspec.convert(answer.get("signals"), list[StrategySignal])
    if len(signals) > SIGNALS_MAX:
        raise ValueError(f"{len(signals)} signals after one bar are too many: at most {SIGNALS_MAX}")
    return signals
