"""The strategies that SCIZOR ships, by name."""

import importlib
from dataclasses import dataclass
from typing import Any

from engine.strategy import BaseStrategy, nearest

_SHIPPED = {
    "bollinger_reversion": "engine.strategies.bollinger_reversion:BollingerReversion",
    "buy_and_hold": "engine.strategies.buy_and_hold:BuyAndHold",
    "cross_sectional_momentum": "engine.strategies.cross_sectional_momentum:CrossSectionalMomentum",
    "donchian_breakout": "engine.strategies.donchian_breakout:DonchianBreakout",
    "moving_average_crossover": "engine.strategies.moving_average_crossover:MovingAverageCrossover",
    "pairs_trading": "engine.strategies.pairs_trading:PairsTrading",
    "rsi_mean_reversion": "engine.strategies.rsi_mean_reversion:RsiMeanReversion",
    "tick_momentum": "engine.strategies.tick_momentum:TickMomentum",
}


class UnknownStrategyError(ValueError):
    """There is no strategy of this name."""


@dataclass(frozen=True)
class Listing:
    """A strategy as a list shows it; `parameters` are names with their defaults."""

    name: str
    description: str
    parameters: dict[str, Any]


def names() -> tuple[str, ...]:
    """The names of all strategies, sorted."""
    return tuple(sorted(_SHIPPED))


def strategy_class(name: str) -> type[BaseStrategy]:
    """The class of this name. Raises UnknownStrategyError, with the nearest name, when there is none."""
    if name not in _SHIPPED:
        raise UnknownStrategyError(f"no strategy {name}{nearest(name, _SHIPPED)}: there are {', '.join(names())}")
    module, _, attribute = _SHIPPED[name].partition(":")
    found: type[BaseStrategy] = getattr(importlib.import_module(module), attribute)
    return found


def listing() -> list[Listing]:
    """Every strategy with what it does and what it takes."""
    classes = {name: strategy_class(name) for name in names()}
    return [
        Listing(
            name,
            (each.__doc__ or "").partition("\n")[0],
            {key: field.default for key, field in each.Config.model_fields.items()},
        )
        for name, each in classes.items()
    ]
