"""The simulator's ledger: one JSON line for everything that a judge needs, with the system before anything is sent."""

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import orjson

from infra.clock import Clock
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.gateway_simulator.instruments.calendar import utc_text

BAR_COLUMNS = ("start", "open", "high", "low", "close", "volume")
KINDS = {
    "connected": "a client has started the API: client_id, version",
    "disconnected": "its connection is gone: client_id",
    "turned_away": "its client id is in use (326): client_id, ghost",
    "request": "any request, before it is acted upon: client_id, request, message, id",
    "not_served": "a request that the state of links and farms holds, loses or refuses: request, id, verdict",
    "order_received": "placeOrder as it was read: the order's fields, order_ref, what_if",
    "order_held": "not transmitted yet: permanent_id",
    "order_grouped": "children of one parent have become a group: oca_group, oca_type",
    "order_bound": "an order of TWS itself has got an id that client 0 can use",
    "order_accepted": "the order is in the book: permanent_id, status",
    "order_working": "it has come to the market: limit_price",
    "order_triggered": "its stop or touch price was reached: trigger_price, limit_price, last",
    "conditions_met": "its conditions are met",
    "order_changed": "new terms are in force: the order's fields",
    "order_reduced": "another order of its group was filled: quantity, by_order_id",
    "order_refused": "it never came to the book, or kept its old terms: code, reason",
    "order_ended": "cancelled, expired or thrown out: status, reason, filled",
    "cancel_received": "cancelOrder",
    "global_cancel_received": "reqGlobalCancel",
    "fill": "an execution: execution_id, order_ref, side, quantity, price, commission, cumulative",
    "correction": "the next revision of an execution: as fill, and replaces",
    "bust": "an execution is taken back: as fill with quantity 0, and replaces",
    "position": "what an account holds after that: account, contract_id, quantity, average_cost, cash",
    "historical_request": "what history was asked for: contract, end, bar_size, duration, what",
    "ticks_request": "what past ticks were asked for: contract, start, end, what",
    "bars": "bars that were served, in columns",
    "bar": "a real-time bar and the clients that were told",
    "tick": "a trade and the clients that were told",
    "fault": "a fault has fired, or could not: number, name, event, failed, reason",
}
Listener = Callable[[str, dict[str, object]], None]


class Ledger:
    """Appends lines to a file; without a file it only counts.

    Each line carries `market_time`, `wall_time` (both RFC 3339 in UTC), `wall_ns` (Unix time, to the microsecond) and
    `monotonic_ns` (CLOCK_MONOTONIC, comparable with other processes of this machine). A line is one write to the
    system, without a buffer of ours: whoever reads after a SIGKILL sees all that came before it.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._clock = clock
        self.counts: dict[str, int] = {}
        self.listener: Listener | None = None
        self._file: io.RawIOBase | None = None
        if path is not None:
            try:
                self._file = path.open("ab", buffering=0)
            except OSError as error:
                raise UsageError(f"cannot write the ledger {path}: {error.strerror}") from error

    @property
    def is_kept(self) -> bool:
        """Whether lines go to a file: nobody needs to make a long one for nothing."""
        return self._file is not None

    def write(self, kind: str, market_time: float, **facts: object) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self._file is not None:
            self._append(kind, market_time, facts)
        if self.listener is not None:
            self.listener(kind, facts)

    def _append(self, kind: str, market_time: float, facts: dict[str, object]) -> None:
        wall = self._clock.now()
        line = {
            "kind": kind,
            "market_time": utc_text(market_time),
            "wall_time": wall.isoformat(),
            "wall_ns": round(wall.timestamp() * 1e6) * 1000,
            "monotonic_ns": round(self._clock.monotonic() * 1e9),
            **facts,
        }
        assert self._file is not None, "there is a file to append to"
        left = memoryview(orjson.dumps(line, default=_plain, option=orjson.OPT_APPEND_NEWLINE))
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            raise EnvironmentUnhealthyError(f"the ledger cannot be written: {error.strerror}; make room") from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    raise TypeError(f"{type(value).__name__} has no place in the ledger")
