"""Bars and a market as buffers and words, and back: what a process that shares no objects with us is handed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.columns import COLUMNS, BarColumns
from engine.facts import CorporateAction, Dividend, Session, Split
from engine.market import Market, Rates

_BYTES = 8  # of a value of any column


@dataclass
class HandedIn:
    """Buffers, which the other side sees as one, and JSON words that say what lies where in them."""

    buffers: list[Any] = field(default_factory=list)
    words: dict[str, Any] = field(default_factory=dict)
    _size: int = 0

    @classmethod
    def of(cls, columns: BarColumns, market: Market | None = None) -> "HandedIn":
        """Everything that a run over `columns` may look at."""
        made, market = cls(), market or Market()
        made.words = {"bars": made._bars(columns), "market": made._market(market)}
        return made

    def _placed(self, *arrays: Any) -> int:
        at = self._size
        self.buffers += [each for each in arrays if len(each)]
        self._size += sum(each.nbytes for each in arrays)
        return at

    def _bars(self, columns: BarColumns) -> dict[str, Any]:
        return {
            "at": self._placed(*(getattr(columns, name) for name in COLUMNS)),
            "rows": len(columns),
            "symbols": {str(contract_id): symbol for contract_id, symbol in columns.symbols.items()},
            "sources": list(columns.sources),
        }

    def _market(self, market: Market) -> dict[str, Any]:
        return {
            "sessions": [[each.open_us, each.close_us] for each in market.sessions],
            "actions": [_action_out(each) for each in market.actions],
            "larger": {str(size): self._bars(each) for size, each in market.larger.items()},
            "currencies": {str(contract_id): name for contract_id, name in market.currencies.items()},
            "rates": {name: self._rates(each) for name, each in market.rates.items()},
        }

    def _rates(self, rates: Rates) -> dict[str, int]:
        times, worth = np.ascontiguousarray(rates.times_us, np.int64), np.ascontiguousarray(rates.worth, np.float64)
        return {"at": self._placed(times, worth), "rows": len(times)}


class _KnownGood(BarColumns):
    """Columns that were looked at outside, whoever uses them inside."""

    def _check(self) -> None:
        pass


def columns_in(held: memoryview, words: Mapping[str, Any]) -> BarColumns:
    """The bars of `HandedIn.of`, without a copy of what lies in `held`."""
    return _bars_in(held, words["bars"])


def market_in(held: memoryview, words: Mapping[str, Any]) -> Market:
    """The market of `HandedIn.of`."""
    told = words["market"]
    return Market(
        sessions=tuple(Session(*each) for each in told["sessions"]),
        actions=tuple(_action_in(*each) for each in told["actions"]),
        larger={int(size): _bars_in(held, each) for size, each in told["larger"].items()},
        currencies=by_contract(told["currencies"]),
        rates={
            name: Rates(
                np.frombuffer(held, np.int64, each["rows"], each["at"]),
                np.frombuffer(held, np.float64, each["rows"], each["at"] + each["rows"] * _BYTES),
            )
            for name, each in told["rates"].items()
        },
    )


def by_contract(told: Mapping[str, str]) -> dict[int, str]:
    """JSON has no numbers for keys."""
    return {int(contract_id): name for contract_id, name in told.items()}


def _bars_in(held: memoryview, told: Mapping[str, Any]) -> BarColumns:
    rows, at = told["rows"], told["at"]
    arrays: dict[str, Any] = {
        name: np.frombuffer(held, np.int64 if place < 3 else np.float64, rows, at + place * rows * _BYTES)
        for place, name in enumerate(COLUMNS)
    }
    return _KnownGood(**arrays, symbols=by_contract(told["symbols"]), sources=tuple(told["sources"]))


def _action_out(action: CorporateAction) -> list[Any]:
    if isinstance(action, Split):
        return ["split", action.contract_id, action.time_us, action.ratio]
    return ["dividend", action.contract_id, action.time_us, action.amount]


def _action_in(kind: str, contract_id: int, time_us: int, value: float) -> CorporateAction:
    return Split(contract_id, time_us, value) if kind == "split" else Dividend(contract_id, time_us, value)
