"""A backtest by whichever way is quicker: by columns where that can be, else bar by bar. The result is one."""

from collections.abc import Callable
from dataclasses import replace

from engine.backtest import BacktestResult, run
from engine.column_path.run import refusal, run_columns
from engine.columns import COLUMNS, BarColumns
from engine.ledger import Turns
from engine.market import Market
from engine.options import BacktestOptions, StrategyFailedError
from engine.strategy import BaseStrategy, StrategyConfig

BARS_LEAST = 500_000
"""With fewer there is little to save, and bar by bar the fills have their reasons."""

_TRIED = 20_000
"""So many first bars are run both ways: targets that are another rule than `on_bar` are found out."""

_HANDLERS = (
    "on_fill",
    "on_order",
    "on_timer",
    "on_session_open",
    "on_session_close",
    "on_corporate_action",
    "on_data_gap",
)


def run_quickest(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    config: StrategyConfig | None = None,
    options: BacktestOptions | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    market: Market | None = None,
) -> BacktestResult:
    """As `engine.backtest.run`; by columns, fills have no reasons and progress comes at the end alone.

    Raises StrategyFailedError too when the strategy's `targets` are not what its `on_bar` answers.
    """
    options, market = options or BacktestOptions(), market or Market()
    if not _suits(columns, strategy_class, options, market):
        return run(columns, strategy_class, config, options, on_progress, market)
    first = replace(columns, **{name: getattr(columns, name)[:_TRIED] for name in COLUMNS})
    one, other = run(first, strategy_class, config, options), run_columns(first, strategy_class, config, options)
    if one.result_hash != other.result_hash:
        name = strategy_class.__name__
        raise StrategyFailedError(f"{name}.targets and {name}.on_bar differ: `scizor strategy check` says where")
    tell = on_progress or (lambda done, total: None)
    tell(len(first), len(columns))
    result = run_columns(columns, strategy_class, config, options)
    tell(len(columns), len(columns))
    return replace(result, turns=Turns(market=market))


def _suits(columns: BarColumns, strategy_class: type[BaseStrategy], options: BacktestOptions, market: Market) -> bool:
    """Whether columns can, and pay."""
    listens = any(getattr(strategy_class, name) is not getattr(BaseStrategy, name) for name in _HANDLERS)
    turns = market.actions or market.larger or market.currencies
    possible = not refusal(options, strategy_class) and options.limit_fill != "queue"
    return len(columns) >= BARS_LEAST and possible and not listens and not turns
