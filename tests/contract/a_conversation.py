"""One client asks a gateway, whose clocks stand, for everything; its requests are those of a library, or by hand."""

import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from infra.gateway_simulator.protocol.pacing import Pacing
from tests.contract.client_libraries import Library
from tests.rich_orders import RICH, TRAIL
from tests.unit.a_gateway_by_hand import Client, Hand, by_hand

Step: TypeAlias = tuple[str, tuple[Any, ...]]
"""A request by its name, or `advance` by so many seconds of market time."""
Rewrite: TypeAlias = Callable[[list[str]], list[str]]

NUMBERS_FROM = 1000  # of requests; orders begin with 1
CONDITIONS: tuple[dict[str, Any], ...] = (
    {"number": 1, "isMore": True, "price": 9000.5, "conId": 265598, "exch": "SMART", "triggerMethod": 2},
    {"number": 3, "conjunction": "o", "isMore": True, "time": "20370101 10:00:00 US/Eastern"},
    {"number": 4, "isMore": False, "percent": 5},
    {"number": 5, "conjunction": "o", "secType": "STK", "exch": "SMART", "symbol": "IBM"},
    {"number": 6, "isMore": True, "volume": 100_000_000, "conId": 265598, "exch": "SMART"},
    {"number": 7, "isMore": True, "changePercent": 90.5, "conId": 265598, "exch": "SMART"},
)
SINCE: dict[int, dict[str, Any]] = {158: {"duration": 30}, 160: {"postToAts": 2}, 162: {"autoCancelParent": True}}
"""Of the rich order, the fields that are not in every version."""
SAME_DEFAULTS = {"openClose": ""}
"""What the libraries say by themselves, and not alike."""
USER_INFO_SINCE, SCHEDULE_SINCE = 167, 165
PLAIN, RICH_ID, TRAIL_ID, WHAT_IF, SOLD, COIN, NEGATIVE, RIGHT, LAST = range(1, 10)
"""The orders. Of flags that stand together, each is set in another one."""


def rich(version: int) -> dict[str, Any]:
    """The terms of the rich order, but for its conditions."""
    return RICH | {name: value for since, terms in SINCE.items() if version >= since for name, value in terms.items()}


@dataclass
class Script:
    """What is said; `contract` and `order` are objects of the library that says it."""

    library: Library
    version: int

    def contract(self, symbol: str, kind: str = "STK", exchange: str = "SMART", **more: Any) -> Any:
        return self.library.make("Contract", symbol=symbol, secType=kind, exchange=exchange, **more)

    def order(self, **terms: Any) -> Any:
        return self.library.make("Order", **(SAME_DEFAULTS | terms))

    def steps(self) -> Iterator[Step]:
        for part in (self._reference, self._past, self._live, self._accounts, self._orders, self._ends, self._others):
            yield from part()

    @property
    def apple(self) -> Any:
        return self.contract("AAPL", currency="USD")

    @property
    def coin(self) -> Any:
        return self.contract("BTC", "CRYPTO", "PAXOS", currency="USD")

    @property
    def right(self) -> Any:
        day = {"lastTradeDateOrContractMonth": "20130315"}
        return self.contract("AAPL", "OPT", currency="USD", strike=440.0, right="C", multiplier="100", **day)

    def _reference(self) -> Iterator[Step]:
        month = {"lastTradeDateOrContractMonth": "201303"}
        known = (
            *(self.apple, self.right, self.contract("ES", "FUT", "CME", currency="USD", **month)),
            *(self.contract("EUR", "CASH", "IDEALPRO", currency="USD"), self.coin),
            *(self.contract("SPX", "IND", "CBOE", currency="USD"), self.contract("BHP", currency="AUD")),
        )
        for number, each in enumerate(known, NUMBERS_FROM):
            yield "reqContractDetails", (number, each)
        yield "reqContractDetails", (1008, self.contract("NOSUCH", currency="USD"))
        yield "reqMatchingSymbols", (1009, "AAP")
        yield "reqSecDefOptParams", (1010, "AAPL", "", "STK", 265598)
        yield "reqMarketRule", (26,)
        yield "reqMarketRule", (9001,)
        yield "reqSmartComponents", (1011, "9c0001")
        yield "reqSoftDollarTiers", (1012,)
        if self.version >= USER_INFO_SINCE:
            yield "reqUserInfo", (1013,)
        for name in ("reqMktDepthExchanges", "reqFamilyCodes", "reqCurrentTime", "reqManagedAccts"):
            yield name, ()
        yield "reqIds", (1,)

    def _past(self) -> Iterator[Step]:
        for number, (end, length, size, what, form, stays) in enumerate(
            (
                ("", "5 D", "1 day", "TRADES", 1, False),
                ("20130227 16:00:00 US/Eastern", "1800 S", "1 min", "BID_ASK", 1, False),
                ("", "60 S", "5 secs", "TRADES", 2, True),
                ("", "5 D", "1 day", "SCHEDULE", 1, False),
                ("", "2 D", "1 hour", "MIDPOINT", 2, False),
                ("", "1 D", "1 min", "NONSENSE", 1, False),
            ),
            1020,
        ):
            if what == "SCHEDULE" and self.version < SCHEDULE_SINCE:
                continue
            yield "reqHistoricalData", (number, self.apple, end, length, size, what, 1, form, stays, [])
        yield "reqHeadTimeStamp", (1030, self.apple, "TRADES", 1, 1)
        for number, what in enumerate(("TRADES", "BID_ASK", "MIDPOINT"), 1031):
            yield "reqHistoricalTicks", (number, self.apple, "20130228 09:40:00", "", 20, what, 1, False, [])
        yield "reqHistogramData", (1034, self.apple, True, "1 day")

    def _live(self) -> Iterator[Step]:
        yield "reqMktData", (1040, self.apple, "104,165,221,233,236,293,318", False, False, [])
        yield "reqMktData", (1041, self.apple, "", True, False, [])
        yield "reqMktData", (1042, self.right, "", False, False, [])
        yield "reqMktData", (1043, self.coin, "", False, False, [])
        yield "reqMktData", (1044, self.apple, "nonsense", False, False, [])
        yield "reqMarketDataType", (3,)
        yield "reqMktData", (1045, self.contract("IBM", currency="USD"), "", False, False, [])
        yield "reqRealTimeBars", (1046, self.apple, 5, "TRADES", True, [])
        for number, kind in enumerate(("Last", "AllLast", "BidAsk", "MidPoint"), 1047):
            yield "reqTickByTickData", (number, self.apple, kind, 0, False)
        yield "reqMktDepth", (1051, self.apple, 5, True, [])
        yield "reqMktDepth", (1052, self.contract("AAPL", exchange="ISLAND", currency="USD"), 5, False, [])
        yield "advance", (10,)

    def _accounts(self) -> Iterator[Step]:
        yield "reqPositions", ()
        yield "reqAccountSummary", (1060, "All", "NetLiquidation,AccountType,$LEDGER:ALL")
        yield "reqAccountUpdates", (True, "")
        yield "reqAccountUpdatesMulti", (1061, "DU1234567", "", True)
        yield "reqPositionsMulti", (1062, "DU1234567", "")
        yield "reqPnL", (1063, "DU1234567", "")
        yield "reqPnLSingle", (1064, "DU1234567", "", 265598)

    def _orders(self) -> Iterator[Step]:
        library = self.library
        yield "placeOrder", (PLAIN, self.apple, self.order(action="BUY", totalQuantity=200, orderType="MKT"))
        conditions = [library.condition(**each) for each in CONDITIONS]
        yield "placeOrder", (RICH_ID, self.apple, self.order(**rich(self.version), conditions=conditions))
        yield "placeOrder", (TRAIL_ID, self.apple, self.order(**TRAIL))
        likely = {"action": "BUY", "totalQuantity": 1000, "orderType": "LMT", "lmtPrice": 400.0}
        yield "placeOrder", (WHAT_IF, self.apple, self.order(**likely, whatIf=True))
        yield "placeOrder", (SOLD, self.apple, self.order(action="SELL", totalQuantity=50, orderType="MKT"))
        part = {"action": "BUY", "totalQuantity": 0.25, "orderType": "LMT", "lmtPrice": 100.0, "tif": "GTC"}
        yield "placeOrder", (COIN, self.coin, self.order(**part))
        below = {"action": "BUY", "totalQuantity": 1, "orderType": "LMT", "lmtPrice": -37.63}
        yield "placeOrder", (NEGATIVE, self.apple, self.order(**below))
        right = {"action": "BUY", "totalQuantity": 2, "orderType": "LMT", "lmtPrice": 1.05, "orderRef": "right"}
        yield "placeOrder", (RIGHT, self.right, self.order(**right))
        yield from self._beyond()
        yield "advance", (5,)
        yield "cancelOrder", (RICH_ID, *library.cancelling())
        yield "cancelOrder", (99, *library.cancelling())
        yield "reqExecutions", (1070, library.make("ExecutionFilter"))
        chosen = {"clientId": 1, "acctCode": "DU1234567", "time": "20130228 09:00:00 US/Eastern", "symbol": "AAPL"}
        chosen |= {"secType": "STK", "exchange": "SMART", "side": "SELL"}
        yield "reqExecutions", (1071, library.make("ExecutionFilter", **chosen))
        yield "reqOpenOrders", ()
        yield "reqAllOpenOrders", ()
        yield "reqAutoOpenOrders", (True,)
        yield "reqGlobalCancel", library.cancelling()
        yield "reqCompletedOrders", (False,)
        yield "advance", (5,)

    def _beyond(self) -> Iterator[Step]:
        """Orders that are not had here, with a condition behind the fields that are only theirs."""
        make, limit = self.library.make, {"action": "BUY", "totalQuantity": 1, "orderType": "LMT", "lmtPrice": 1.0}
        legs = [
            make("ComboLeg", conId=number, ratio=1, action=side) for number, side in ((265598, "BUY"), (8314, "SELL"))
        ]
        spread = self.contract("AAPL", "BAG", currency="USD", comboLegs=legs)
        hedged = make("DeltaNeutralContract", conId=265598, delta=0.5, price=440.0)
        kinds: tuple[tuple[Any, dict[str, Any]], ...] = (
            (
                self.apple,
                {"algoStrategy": "Adaptive", "algoParams": [make("TagValue", tag="adaptivePriority", value="Urgent")]},
            ),
            (spread, {"smartComboRoutingParams": [make("TagValue", tag="NonGuaranteed", value="1")]}),
            (self.apple, {"scaleInitLevelSize": 5, "scalePriceIncrement": 0.5, "scaleRandomPercent": True}),
            (self.apple, {"hedgeType": "P", "hedgeParam": "2"}),
            (self.apple, {"orderType": "PEG BENCH", "referenceContractId": 8314, "referenceExchangeId": "SMART"}),
            (self.apple, {"deltaNeutralOrderType": "MKT", "deltaNeutralConId": 265598}),
            (self.contract("AAPL", currency="USD", deltaNeutralContract=hedged), {}),
        )
        for number, (contract, terms) in enumerate(kinds, LAST + 1):
            condition = self.library.condition(**CONDITIONS[0])
            yield "placeOrder", (number, contract, self.order(**limit | terms, conditions=[condition]))

    def _ends(self) -> Iterator[Step]:
        yield "cancelHistoricalData", (1022,)
        yield "cancelHistoricalData", (1022,)
        yield "cancelHeadTimeStamp", (1030,)
        yield "cancelHistogramData", (1034,)
        for number in (1040, 1042, 1043, 1045, 1099):
            yield "cancelMktData", (number,)
        yield "cancelRealTimeBars", (1046,)
        for number in (1047, 1048, 1049, 1050):
            yield "cancelTickByTickData", (number,)
        yield "cancelMktDepth", (1051, True)
        yield "cancelMktDepth", (1052, False)
        yield "cancelPositions", ()
        yield "cancelAccountSummary", (1060,)
        yield "reqAccountUpdates", (False, "")
        yield "cancelAccountUpdatesMulti", (1061,)
        yield "cancelPositionsMulti", (1062,)
        yield "cancelPnL", (1063,)
        yield "cancelPnLSingle", (1064,)
        yield "advance", (5,)

    def _others(self) -> Iterator[Step]:
        """What the gateway at IB serves and this one does not."""
        yield "setServerLogLevel", (5,)
        yield "reqNewsBulletins", (True,)
        yield "reqScannerParameters", ()
        yield "reqScannerSubscription", (1080, self.library.make("ScannerSubscription"), [], [])
        yield "cancelScannerSubscription", (1080,)
        yield "calculateImpliedVolatility", (1081, self.right, 5.0, 440.0, [])
        yield "calculateOptionPrice", (1082, self.right, 0.3, 440.0, [])
        yield "cancelCalculateImpliedVolatility", (1081,)
        yield "cancelCalculateOptionPrice", (1082,)
        yield "exerciseOptions", (1083, self.right, 1, 1, "DU1234567", 0, *self.library.exercising())
        yield "reqNewsProviders", ()
        yield "reqNewsArticle", (1084, "BRFG", "BRFG$1", [])
        yield "reqHistoricalNews", (1085, 265598, "BRFG", "", "", 5, [])
        yield "queryDisplayGroups", (1086,)
        yield "requestFA", (1,)


@dataclass
class Conversation:
    """What was said, and what came."""

    hand: Hand
    client: Client
    version: int
    said: list[list[str]] = field(default_factory=list)

    @property
    def heard(self) -> list[list[str]]:
        return self.client.heard[1:]  # after the version

    def numbers(self) -> set[int]:
        """Of all requests that were said."""
        said = (int(field) for message in self.said for field in message[1:3] if field.isdecimal())
        return {each for each in said if NUMBERS_FROM <= each < 2 * NUMBERS_FROM}


class Speaker(Client):
    """A client that offers certain versions."""

    offer = ""

    async def connect(self) -> None:
        offer = self.offer.encode()
        self._reader.feed_data(b"API\0" + struct.pack(">I", len(offer)) + offer)
        await self.say(71, 2, self._client_id, "")


async def a_speaker(hand: Hand, offer: str) -> Client:
    client = Speaker(hand.gateway, 1)
    client.offer = offer
    hand.clients.append(client)
    await client.connect()
    return client


def as_said(fields: list[str]) -> list[str]:
    return fields


@contextlib.asynccontextmanager
async def a_conversation(library: Library, version: int, rewrite: Rewrite = as_said) -> AsyncIterator[Conversation]:
    """The whole script, said by the library's encoders; `rewrite` is another way to say a message."""
    async with by_hand(pacing=Pacing.OFF) as hand:
        conversation = Conversation(hand, await a_speaker(hand, f"v{version}..{version}"), version)
        for name, arguments in Script(library, version).steps():
            if name == "advance":
                await hand.market(*arguments)
                continue
            for fields in library.requests(version, name, *arguments):
                conversation.said.append(fields)
                await conversation.client.say(*rewrite(fields))
        yield conversation
