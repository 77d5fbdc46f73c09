"""The gateway's own words for its error codes, as faults send them; {id} stands for the request or order id."""

PACING = "Historical Market Data Service error message:Historical data request pacing violation"

LOST, RESTORED_EMPTY, RESTORED, PORT_RESET = 1100, 1101, 1102, 1300
COMPETING, BUSTED, HELD_LATER = 10197, 10225, 399
REJECTED, CANCELLED = 201, 202

_CONNECTIVITY = {
    1100: "Connectivity between IBKR and Trader Workstation has been lost.",
    1101: "Connectivity between IBKR and Trader Workstation has been restored - data lost. "
    "All market data and account subscriptions must be resubmitted.",
    1102: "Connectivity between IBKR and Trader Workstation has been restored - data maintained. "
    "All data farms are connected: usfarm; ushmds; secdefil.",
    1300: "TWS socket port has been reset and this connection is being dropped. Please reconnect on the new port.",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
    326: "Unable to connect as the client id is already in use. Retry with a unique client id.",
}
_REQUESTS = {
    100: "Max rate of messages per second has been exceeded:max=50",
    101: "Max number of tickers has been reached.",
    102: "Duplicate ticker ID.",
    162: PACING,
    165: "Historical Market Data Service query message:no items retrieved",
    200: "No security definition has been found for the request",
    300: "Can't find EId with tickerId:{id}",
    309: "Max number (3) of market depth requests has been reached",
    317: "Market depth data has been RESET. Please empty deep book contents before applying any new entries.",
    322: "Error processing request.-'sm' : cause - Only 50 simultaneous API historical data requests allowed.",
    354: "Requested market data is not subscribed.Delayed market data is available.",
    366: "No historical data query found for ticker id:{id}",
    420: "Invalid Real-time Query:Historical data request pacing violation",
    10089: "Requested market data requires additional subscription for API. See link in 'Market Data Connections' "
    "dialog for more details.",
    10090: "Part of requested market data is not subscribed. Subscription-independent ticks are still active.",
    10167: "Requested market data is not subscribed. Displaying delayed market data.",
    10168: "Requested market data is not subscribed. Delayed market data is not enabled.",
    10186: "Requested market data is not subscribed. Delayed market data is not available.",
    10187: "Failed to request historical ticks:No market data permissions",
    10189: "Failed to request tick-by-tick data:No market data permissions",
    10190: "Max number of tick-by-tick requests has been reached.",
    10197: "No market data during competing live session",
    10225: "Bust event occurred, current subscription is deactivated. Please resubscribe real-time bars immediately.",
}
_ORDERS = {
    103: "Duplicate order id",
    104: "Cannot modify a filled order.",
    105: "Order being modified does not match original order.",
    110: "The price does not conform to the minimum price variation for this contract.",
    161: "Cancel attempted when order is not in a cancellable state.Order permId =0",
    201: "Order rejected - reason:The order was refused by the exchange",
    202: "Order Canceled - reason:",
    321: "Error validating request.-'sm' : cause - Please enter exchange",
    329: "Order modify failed. Cannot change to the new order type.",
    399: "Order Message: Warning: your order will not be placed at the exchange until the next session.",
    404: "Shares for this order are not immediately available for short sale. The order will be held while we attempt "
    "to locate the shares.",
    434: "The order size cannot be zero.",
    492: "The price is too far from the market.",
    2100: "New account data requested from TWS.  API client has been unsubscribed from account data.",
    2101: "Unable to subscribe to account as the following clients are subscribed to a different account.",
    2102: "Unable to modify this order as its still being processed.",
    10147: "OrderId {id} that needs to be cancelled is not found.",
    10148: "OrderId {id} that needs to be cancelled cannot be cancelled, state: Filled.",
}
TEXTS: dict[int, str] = {**_CONNECTIVITY, **_REQUESTS, **_ORDERS}


def text_for(code: int, number: int, wanted: str) -> str:
    """The text that goes with a code: the wanted one, else the gateway's own."""
    return (wanted or TEXTS.get(code, "")).replace("{id}", str(number))
