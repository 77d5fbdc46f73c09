"""Money and rules of a backtest."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.exchange import Rules, commission_model, slippage_model
from engine.exchange.costs import COMMISSION_RATES, SLIPPAGE_RATES, ByOrder, Commission, CostModelError, Slippage
from engine.sizing import check_sizing
from engine.strategy import nearest


class BacktestError(ValueError):
    """The backtest cannot be run: one line that says why."""


class StrategyFailedError(BacktestError):
    """The strategy itself raised an exception; says on which bar."""


@dataclass(frozen=True)
class BacktestOptions(Rules):
    """Money and rules of a run. Rates belong to the named models of `engine.exchange.costs`, the rest of the rules to
    `engine.exchange.rules`, sizings to `engine.sizing`.

    `quantity` is the size of a full position in shares, where the sizing is fixed; `lot` what it is rounded to. Raises
    ValueError when one of them cannot be.
    """

    cash: float = 100_000.0
    quantity: float = 100.0
    commission: str = "bps"
    commission_rate: float = 10.0
    slippage: str = "bps"
    slippage_rate: float = 0.0
    sizing: str = "fixed"
    sizing_percent: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cash", "quantity", "lot"):
            if not 0 < getattr(self, name) < math.inf:
                raise BacktestError(f"{name} must be above zero, not {getattr(self, name)}")
        for name in ("commission_rate", "slippage_rate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BacktestError(f"{name} must be zero or more, not {getattr(self, name)}")
        if self.quantity < self.lot:
            raise BacktestError(f"quantity {self.quantity:g} is less than one lot of {self.lot:g}: nothing could trade")
        check_sizing(self.sizing, self.sizing_percent)

    def costs(self) -> tuple[Commission | ByOrder, Slippage]:
        """The cost models, fresh. Raises CostModelError for a name that does not exist."""
        return (
            commission_model(self.commission, self.commission_rate),
            slippage_model(self.slippage, self.slippage_rate),
        )


_ELSEWHERE = ("cash", "quantity")
_MODELS = {"commission": commission_model, "slippage": slippage_model}


def rules_of(given: Mapping[str, str | float]) -> dict[str, Any]:
    """Options by name, from text where they come as text; `cash` and `quantity` have places of their own.

    Raises BacktestError for a name that does not exist, or a value that is not of its kind.
    """
    known = {name: type(default) for name, default in vars(BacktestOptions()).items() if name not in _ELSEWHERE}
    rules: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise BacktestError(f"no rule {name}{nearest(name, known)}: {', '.join(sorted(known))}")
        try:
            rules[name] = known[name](value)
        except ValueError:
            raise BacktestError(f"{name}={value}: write a {'whole ' * (known[name] is int)}number") from None
    for option, rates in (("commission", COMMISSION_RATES), ("slippage", SLIPPAGE_RATES)):
        if option in rules and f"{option}_rate" not in rules:
            if rules[option] not in rates:
                _named(option, rules[option])
                raise BacktestError(f"{option} {rules[option]} needs a rate: {option}_rate")
            rules[f"{option}_rate"] = rates[rules[option]]
    return rules


def _named(option: str, name: str) -> None:
    """Raise BacktestError when there is no such model, rather than ask for the rate of one."""
    try:
        _MODELS[option](name, 1.0)
    except CostModelError as error:
        raise BacktestError(str(error)) from None
