"""TWS or IB Gateway: the only package that knows IB's client library and IB's names.

The order path uses it like this:

    connection = Connection(settings, ClientSlot.EXECUTOR, clock=clock, entropy=entropy)
    orders = Orders(connection, tell)       # tell(report: BrokerReport) is called on the loop, in socket order
    await connection.start()                # connects in the background and for ever again
    await connection.usable(10)             # or GatewayUnavailableError with the reason
    orders.place(order_id, intent)          # at once; what becomes of it arrives as reports
    await connection.stop()
"""

from infra.gateway.connection import Connection
from infra.gateway.errors import (
    AccountRefusedError,
    AccountUnknownError,
    ClientIdInUseError,
    GatewayAnswerError,
    GatewayRequestError,
    GatewayTimeoutError,
    GatewayUnavailableError,
)
from infra.gateway.live import Feed, Interrupted, Live, MarketEvent
from infra.gateway.market import History, Market, source_of
from infra.gateway.orders import Orders
from infra.gateway.past import BAR_SIZES, PastBar, Series, Span
from infra.gateway.reports import (
    BrokerCommission,
    BrokerCompletedOrder,
    BrokerConnection,
    BrokerError,
    BrokerExecution,
    BrokerOpenOrder,
    BrokerOrderStatus,
    BrokerReport,
    ErrorMeaning,
    GatewayState,
    GatewayStatus,
)
from infra.gateway.slots import ClientSlot
from infra.gateway.translate import Link
from infra.gateway.windows import Priority

__all__ = [
    "BAR_SIZES",
    "AccountRefusedError",
    "AccountUnknownError",
    "BrokerCommission",
    "BrokerCompletedOrder",
    "BrokerConnection",
    "BrokerError",
    "BrokerExecution",
    "BrokerOpenOrder",
    "BrokerOrderStatus",
    "BrokerReport",
    "ClientIdInUseError",
    "ClientSlot",
    "Connection",
    "ErrorMeaning",
    "Feed",
    "GatewayAnswerError",
    "GatewayRequestError",
    "GatewayState",
    "GatewayStatus",
    "GatewayTimeoutError",
    "GatewayUnavailableError",
    "History",
    "Interrupted",
    "Link",
    "Live",
    "Market",
    "MarketEvent",
    "Orders",
    "PastBar",
    "Priority",
    "Series",
    "Span",
    "source_of",
]
