"""Orders that a person places in TWS itself, as the control port takes them."""

from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import UsageError
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.contracts import Asked
from infra.gateway_simulator.orders.placement import Placement, by_hand
from infra.gateway_simulator.protocol.wire import Fields, text_of

Amount = Annotated[Decimal, Field(ge=0, le=1_000_000_000)]


class ManualOrder(BaseModel):
    """What a person types in; the names are those of the API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: str
    action: str
    quantity: Amount
    order_type: str = "MKT"
    limit_price: Amount | None = None
    aux_price: Amount | None = None
    tif: str = "DAY"
    order_ref: str = ""
    account: str = ""

    @classmethod
    def read(cls, told: dict[str, Any]) -> Self:
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            flaws = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in error.errors())
            raise UsageError(f"cannot place {told}: {flaws}") from None

    def placement(self, catalogue: Catalogue) -> Placement:
        instrument = catalogue.by_symbol.get(self.symbol)
        number = instrument.contract_id if instrument is not None else 0
        asked = Asked.taken_from(Fields([str(number), self.symbol, "STK", "", "", "", "", "SMART"]))
        said = {
            "action": self.action.upper(),
            "quantity": text_of(self.quantity),
            "kind": self.order_type.upper(),
            "limit": "" if self.limit_price is None else text_of(self.limit_price),
            "auxiliary": "" if self.aux_price is None else text_of(self.aux_price),
            "time_in_force": self.tif.upper(),
            "reference": self.order_ref,
            "account": self.account,
        }
        return by_hand(0, asked, said)
