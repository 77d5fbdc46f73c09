"""A gateway without sockets whose market moves by hand, and traders whose orders a client library encodes."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from ib_insync import Order, Stock
from ib_insync.client import Client

from infra.clock import ManualClock, SystemEntropy
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.launch import market_time
from infra.gateway_simulator.protocol.wire import Fields, Value, text_of

MORNING = "2013-02-28T10:00:00-05:00"
APPLE = Stock("AAPL", "SMART", "USD")


class Encoder(Client):
    """ib_insync's client, whose messages are kept instead of sent."""

    def __init__(self, version: int) -> None:
        self._serverVersion = version
        self.kept: list[list[str]] = []

    def isConnected(self) -> bool:  # noqa: N802 # ib_insync's name
        return True

    def sendMsg(self, msg: str) -> None:  # noqa: N802 # ib_insync's name
        self.kept.append(msg.split("\0")[:-1])


@dataclass(eq=False)
class Trader:
    """A connected client: what it is told is kept."""

    gateway: Gateway
    client_id: int = 1
    version: int = 176
    unsent: int = 0
    told: list[tuple[Value, ...]] = field(default_factory=list)
    errors: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gateway.shared.sessions[self.client_id] = cast(Any, self)

    def send(self, *values: Value, **_: Any) -> None:
        self.told.append(values)

    def error(self, request_id: int, code: int, text: str, **_: Any) -> None:
        self.errors.append((request_id, code))
        self.told.append((4, 2, request_id, code, text))

    async def ask(self, name: str, *arguments: Any) -> None:
        """Let ib_insync encode a request, and serve it."""
        encoder = Encoder(self.version)
        getattr(encoder, name)(*arguments)
        for values in encoder.kept:
            await self.gateway.serve(cast(Any, self), int(values[0]), Fields(values[1:]))

    async def place(self, action: str, quantity: float, kind: str = "LMT", **terms: Any) -> int:
        """Place an order under the next id, or under `order_id`; gives its id."""
        order_id = terms.pop("order_id", None) or self.gateway.shared.book.next_id(self.client_id)
        contract = terms.pop("contract", APPLE)
        order = Order(action=action, totalQuantity=quantity, orderType=kind, **_named(terms))
        await self.ask("placeOrder", order_id, contract, order)
        return int(order_id)

    async def cancel(self, order_id: int) -> None:
        await self.ask("cancelOrder", order_id)

    def statuses(self, order_id: int) -> list[str]:
        """All that it was told in orderStatus, without repetitions."""
        told = [str(each[2]) for each in self.told if each[0] == 3 and each[1] == order_id]
        return [each for place, each in enumerate(told) if place == 0 or told[place - 1] != each]

    def why_held(self, order_id: int) -> str:
        return [str(each[10]) for each in self.told if each[0] == 3 and each[1] == order_id][-1]

    def fills(self, order_id: int) -> list[tuple[int, float]]:
        """Quantities and prices."""
        return [
            (int(cast(Any, each[19])), float(cast(Any, each[20])))
            for each in self.told
            if each[0] == 11 and each[2] == order_id
        ]

    def codes(self, order_id: int) -> list[int]:
        return [code for number, code in self.errors if number == order_id]

    def last(self, message: int) -> list[bytes]:
        """The fields of the newest message of a kind, as they leave."""
        found = next(each for each in reversed(self.told) if each[0] == message)
        return [text_of(each).encode("ascii", "backslashreplace") for each in found]


class OrderFloor:
    """The gateway, and the market of one symbol at prices that the test prints."""

    def __init__(self, now: str = MORNING, **options: Any) -> None:
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.gateway = Gateway(Options(start=market_time(now), speed=0, **options), clock, SystemEntropy())

    @property
    def book(self) -> Any:
        return self.gateway.shared.book

    def trader(self, client_id: int = 1, version: int = 176) -> Trader:
        return Trader(self.gateway, client_id, version)

    def print(self, price: float, size: int = 100, symbol: str = "AAPL") -> None:
        self.gateway.force_quote(symbol, Decimal(str(price)), size)

    def display(self, bid: int | None = None, ask: int | None = None, symbol: str = "AAPL") -> None:
        """How much stands at the best prices from now on."""
        quote = self.quote(symbol)
        quote.bid_size = quote.bid_size if bid is None else bid
        quote.ask_size = quote.ask_size if ask is None else ask

    def quote(self, symbol: str = "AAPL") -> Any:
        shared = self.gateway.shared
        return shared.world.quote(shared.catalogue.by_symbol[symbol], shared.now())

    def order(self, order_id: int, client_id: int = 1) -> Any:
        return self.book.find(client_id, order_id)

    async def pass_time(self, seconds: float) -> None:
        await self.gateway.advance(seconds)

    def held(self, symbol: str = "AAPL") -> int:
        shared = self.gateway.shared
        return int(shared.account.position(shared.catalogue.by_symbol[symbol]).quantity)


def _named(terms: dict[str, Any]) -> dict[str, Any]:
    """Short names for what the tests say often."""
    short = {"limit": "lmtPrice", "stop": "auxPrice", "parent": "parentId", "group": "ocaGroup", "ref": "orderRef"}
    return {short.get(name, name): value for name, value in terms.items()}
