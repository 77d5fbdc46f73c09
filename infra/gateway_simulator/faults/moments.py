"""When a fault happens: at a protocol event that passes filters, at a market time, or after so much wall time."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from infra.gateway_simulator.faults.actions import ClientId, Count, Interval, Part, Seconds

FILTERS = ("client_id", "symbol", "order_id", "request_id", "message", "code", "status", "order_ref")


class When(Part):
    """The moment: a protocol event with filters, or a market time, or wall seconds since the cassette was loaded."""

    event: str = ""
    nth: Count = 1
    times: Count = 1
    chance: Annotated[float, Field(gt=0, le=1)] = 1.0
    client_id: ClientId | None = None
    symbol: str | None = None
    order_id: int | None = None
    request_id: int | None = None
    message: int | None = None
    code: int | None = None
    status: str | None = None
    order_ref: str | None = None
    market_time: datetime | None = None
    wall_seconds: Seconds | None = None
    every: Interval | None = None

    @model_validator(mode="after")
    def _is_one_moment(self) -> Self:
        kinds = [bool(self.event), self.market_time is not None, self.wall_seconds is not None]
        if sum(kinds) != 1:
            raise ValueError("a step waits for one of: event, market_time, wall_seconds")
        told = self.model_fields_set
        if not self.event and (stray := told & (set(FILTERS) | {"nth", "chance"})):
            raise ValueError(f"{', '.join(sorted(stray))} belongs to an event")
        if self.event and self.every is not None:
            raise ValueError("every belongs to market_time or wall_seconds")
        if not self.event and self.times > 1 and self.every is None:
            raise ValueError("times needs every: how many seconds lie between")
        return self

    def filters(self) -> dict[str, object]:
        return {name: value for name in FILTERS if (value := getattr(self, name)) is not None}
