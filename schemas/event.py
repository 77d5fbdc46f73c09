"""The base of every event: a frozen value that knows when it was true and when we first saw it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("in UTC this is before the year 1 or after the year 9999") from error


UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with a time zone, kept and written in UTC (RFC 3339)."""

ContractId = Annotated[int, Field(gt=0, lt=2**53)]
"""What can be traded, by IB's conId."""

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/ -]*$")]
"""A short printable name: a symbol, a strategy, an account, an id."""

Price = Annotated[float, Field(allow_inf_nan=False)]
"""A price of market data: finite, and free to be negative (spreads, oil)."""

Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A volume or size of market data: finite, zero or more."""

Quantity = Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=8, allow_inf_nan=False)]
"""An amount of an order or fill: always positive, `side` says which way."""

SignedQuantity = Annotated[Decimal, Field(max_digits=18, decimal_places=8, allow_inf_nan=False)]
"""A position: positive long, negative short."""

Money = Annotated[Decimal, Field(max_digits=24, decimal_places=8, allow_inf_nan=False)]
"""An amount of money or an order's price, exact."""


class Event(BaseModel):
    """Something that was true at `event_time` and that we first knew at `ingest_time`.

    Readers ignore fields they do not know, so old and new versions run side by side.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    event_time: UtcTime
    ingest_time: UtcTime

    @classmethod
    def of_judged(cls, values: dict[str, Any]) -> Self:
        """`model_construct` of all fields, in their order, at a tenth of its cost: nothing is looked at again."""
        made = cls.__new__(cls)
        object.__setattr__(made, "__dict__", values)
        object.__setattr__(made, "__pydantic_fields_set__", set(values))
        object.__setattr__(made, "__pydantic_extra__", None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made

    def to_json(self) -> bytes:
        """The value of the Kafka record: plain JSON."""
        return self.__pydantic_serializer__.to_json(self)

    def revised(self, **changes: Any) -> Self:
        """A validated copy with some fields changed."""
        return type(self).model_validate({**self.model_dump(), **changes})
