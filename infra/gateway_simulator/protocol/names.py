"""IB's names of the messages in both directions, and where each carries its id, for faults, ledger and documents."""

from collections.abc import Sequence
from typing import NamedTuple

from infra.gateway_simulator.protocol.wire import Value

PLACE_ORDER, CANCEL_ORDER, GLOBAL_CANCEL, START_API = 3, 4, 58, 71
MARKET_DATA, HISTORICAL_DATA, CANCEL_HISTORICAL_DATA = 1, 20, 25
ORDER_STATUS, ERROR, CURRENT_TIME = 3, 4, 49


class Named(NamedTuple):
    """A message; `id_at` is the place of its request or order id among the fields, 0 where it has none."""

    name: str
    id_at: int = 0
    has_contract: bool = False
    """Whether the contract's fields follow the id."""


REQUESTS = {
    1: Named("reqMktData", 2, True),
    2: Named("cancelMktData", 2),
    3: Named("placeOrder", 1, True),
    4: Named("cancelOrder", 2),
    5: Named("reqOpenOrders"),
    6: Named("reqAccountUpdates"),
    7: Named("reqExecutions", 2),
    8: Named("reqIds"),
    9: Named("reqContractDetails", 2, True),
    10: Named("reqMktDepth", 2, True),
    11: Named("cancelMktDepth", 2),
    12: Named("reqNewsBulletins"),
    13: Named("cancelNewsBulletins"),
    14: Named("setServerLogLevel"),
    15: Named("reqAutoOpenOrders"),
    16: Named("reqAllOpenOrders"),
    17: Named("reqManagedAccts"),
    18: Named("requestFA"),
    19: Named("replaceFA", 4),
    20: Named("reqHistoricalData", 1, True),
    21: Named("exerciseOptions", 2, True),
    22: Named("reqScannerSubscription", 1),
    23: Named("cancelScannerSubscription", 2),
    24: Named("reqScannerParameters"),
    25: Named("cancelHistoricalData", 2),
    49: Named("reqCurrentTime"),
    50: Named("reqRealTimeBars", 2, True),
    51: Named("cancelRealTimeBars", 2),
    52: Named("reqFundamentalData", 2, True),
    54: Named("calculateImpliedVolatility", 2, True),
    55: Named("calculateOptionPrice", 2, True),
    56: Named("cancelCalculateImpliedVolatility", 2),
    57: Named("cancelCalculateOptionPrice", 2),
    58: Named("reqGlobalCancel"),
    59: Named("reqMarketDataType"),
    61: Named("reqPositions"),
    62: Named("reqAccountSummary", 2),
    63: Named("cancelAccountSummary", 2),
    64: Named("cancelPositions"),
    65: Named("verifyRequest"),
    66: Named("verifyMessage"),
    67: Named("queryDisplayGroups", 2),
    68: Named("subscribeToGroupEvents", 2),
    69: Named("updateDisplayGroup", 2),
    70: Named("unsubscribeFromGroupEvents", 2),
    71: Named("startApi"),
    72: Named("verifyAndAuthRequest"),
    73: Named("verifyAndAuthMessage"),
    74: Named("reqPositionsMulti", 2),
    75: Named("cancelPositionsMulti", 2),
    76: Named("reqAccountUpdatesMulti", 2),
    77: Named("cancelAccountUpdatesMulti", 2),
    78: Named("reqSecDefOptParams", 1),
    79: Named("reqSoftDollarTiers", 1),
    80: Named("reqFamilyCodes"),
    81: Named("reqMatchingSymbols", 1),
    82: Named("reqMktDepthExchanges"),
    83: Named("reqSmartComponents", 1),
    84: Named("reqNewsArticle", 1),
    85: Named("reqNewsProviders"),
    86: Named("reqHistoricalNews", 1),
    87: Named("reqHeadTimestamp", 1, True),
    88: Named("reqHistogramData", 1, True),
    89: Named("cancelHistogramData", 1),
    90: Named("cancelHeadTimestamp", 1),
    91: Named("reqMarketRule"),
    92: Named("reqPnL", 1),
    93: Named("cancelPnL", 1),
    94: Named("reqPnLSingle", 1),
    95: Named("cancelPnLSingle", 1),
    96: Named("reqHistoricalTicks", 1, True),
    97: Named("reqTickByTickData", 1, True),
    98: Named("cancelTickByTickData", 1),
    99: Named("reqCompletedOrders"),
    100: Named("reqWshMetaData", 1),
    101: Named("cancelWshMetaData", 1),
    102: Named("reqWshEventData", 1),
    103: Named("cancelWshEventData", 1),
    104: Named("reqUserInfo", 1),
}

ANSWERS = {
    1: Named("tickPrice", 2),
    2: Named("tickSize", 2),
    3: Named("orderStatus", 1),
    4: Named("error", 2),
    5: Named("openOrder", 1),
    6: Named("updateAccountValue"),
    7: Named("updatePortfolio"),
    8: Named("updateAccountTime"),
    9: Named("nextValidId"),
    10: Named("contractDetails", 1),
    11: Named("execDetails", 1),
    12: Named("updateMktDepth", 2),
    13: Named("updateMktDepthL2", 2),
    15: Named("managedAccounts"),
    17: Named("historicalData", 1),
    21: Named("tickOptionComputation", 1),
    45: Named("tickGeneric", 2),
    46: Named("tickString", 2),
    49: Named("currentTime"),
    50: Named("realtimeBar", 2),
    52: Named("contractDetailsEnd", 2),
    53: Named("openOrderEnd"),
    54: Named("accountDownloadEnd"),
    55: Named("execDetailsEnd", 2),
    57: Named("tickSnapshotEnd", 2),
    58: Named("marketDataType", 2),
    59: Named("commissionReport"),
    61: Named("position"),
    62: Named("positionEnd"),
    63: Named("accountSummary", 2),
    64: Named("accountSummaryEnd", 2),
    71: Named("positionMulti", 2),
    72: Named("positionMultiEnd", 2),
    73: Named("accountUpdateMulti", 2),
    74: Named("accountUpdateMultiEnd", 2),
    75: Named("securityDefinitionOptionParameter", 1),
    76: Named("securityDefinitionOptionParameterEnd", 1),
    77: Named("softDollarTiers", 1),
    78: Named("familyCodes"),
    79: Named("symbolSamples", 1),
    80: Named("mktDepthExchanges"),
    81: Named("tickReqParams", 1),
    82: Named("smartComponents", 1),
    88: Named("headTimestamp", 1),
    89: Named("histogramData", 1),
    90: Named("historicalDataUpdate", 1),
    93: Named("marketRule"),
    94: Named("pnl", 1),
    95: Named("pnlSingle", 1),
    96: Named("historicalTicks", 1),
    97: Named("historicalTicksBidAsk", 1),
    98: Named("historicalTicksLast", 1),
    99: Named("tickByTick", 1),
    101: Named("completedOrder"),
    102: Named("completedOrdersEnd"),
    106: Named("historicalSchedule", 1),
    107: Named("userInfo", 1),
}
SENT: dict[Value, str] = {number: f"{each.name} sent" for number, each in ANSWERS.items() if each.name != "error"}
"""The event that each answer is when it leaves; errors are told apart by their code."""
_UNKNOWN = Named("unknown")


def id_in(named: Named, values: Sequence[Value]) -> int | None:
    """The request or order id that a message carries; None where it has none, or nonsense."""
    if not 0 < named.id_at < len(values):
        return None
    text = str(values[named.id_at])
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 20 else None


def request_of(message: int) -> Named:
    return REQUESTS.get(message, _UNKNOWN)


def answer_of(message: Value) -> Named:
    return ANSWERS.get(message, _UNKNOWN) if isinstance(message, int) else _UNKNOWN
