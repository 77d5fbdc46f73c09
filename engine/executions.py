"""Executions kept as columns; single ones are made when somebody looks at them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, overload

import numpy as np

from engine.columns import Floats, Integers
from engine.exchange import Execution


@dataclass(frozen=True, eq=False)
class ExecutionColumns(Sequence[Execution]):
    """Executions in the order they happened; arrays of one shape `(executions,)`, fields as in `Execution`."""

    contract_id: Integers
    row: Integers
    time_us: Integers
    quantity: Floats
    price: Floats
    slippage: Floats
    commission: Floats
    rate: Floats

    @classmethod
    def of(cls, executions: Sequence[Execution]) -> "ExecutionColumns":
        """The same as columns."""
        if isinstance(executions, ExecutionColumns):
            return executions
        columns: dict[str, Any] = {
            each.name: np.fromiter(
                map(attrgetter(each.name), executions),
                np.int64 if each.type is Integers else np.float64,
                len(executions),
            )
            for each in fields(cls)
        }
        return cls(**columns)

    def taken(self, order: Integers) -> "ExecutionColumns":
        """Those at the places `order`, in that order."""
        return ExecutionColumns(*(getattr(self, each.name)[order] for each in fields(self)))

    def __len__(self) -> int:
        return len(self.row)

    def __iter__(self) -> Iterator[Execution]:
        columns: list[list[Any]] = [getattr(self, each.name).tolist() for each in fields(self)]
        return map(_execution, *columns)

    @overload
    def __getitem__(self, place: int) -> Execution: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Execution]: ...
    def __getitem__(self, place: int | slice) -> Execution | Sequence[Execution]:
        return tuple(self)[place]


def _execution(*fields_: Any) -> Execution:
    contract_id, row, time_us, quantity, price, slippage, commission, rate = fields_
    return Execution(contract_id, row, time_us, quantity, price, slippage, commission, "", rate=rate)
