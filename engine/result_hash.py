"""The hash of a result, over fills and equity alone: sums and products, whose bits do not depend on the processor."""

import hashlib
from collections.abc import Iterable

from engine.columns import Floats, Integers
from engine.exchange import Execution


class ResultHash:
    """SHA-256 of three: of the fills in their order, of the times of the equity, and of the equity; each may come in
    parts. A contract is known by when it first filled: a file of prices has no contract ids, and is to give the same
    hash as the topic and the database."""

    def __init__(self) -> None:
        self._fills, self._times, self._equity = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
        self._contracts: dict[int, int] = {}

    def fills(self, executions: Iterable[Execution]) -> None:
        """More fills."""
        for each in executions:
            amounts = " ".join(map(float.hex, (each.quantity, each.price, each.commission)))
            contract = self._contracts.setdefault(each.contract_id, len(self._contracts))
            self._fills.update(f"{contract} {each.time_us} {amounts};".encode())

    def equity(self, times_us: Integers, equity: Floats) -> None:
        """More of the curve."""
        self._times.update(times_us.astype("<i8").tobytes())
        self._equity.update(equity.astype("<f8").tobytes())

    def hexdigest(self) -> str:
        """The hash of all that came."""
        return hashlib.sha256(self._fills.digest() + self._times.digest() + self._equity.digest()).hexdigest()
