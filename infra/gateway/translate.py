"""IB's words and ours: the only place where a name of IB's API meets a name of the schemas."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from infra.gateway import hours
from infra.gateway.errors import GatewayUnavailableError
from infra.gateway.library import UNSET_DOUBLE, Library
from infra.gateway.reports import (
    BrokerCommission,
    BrokerCompletedOrder,
    BrokerExecution,
    BrokerOpenOrder,
    BrokerOrderStatus,
    BrokerReport,
)
from schemas.account import AccountState
from schemas.market import Source
from schemas.order_words import TRAILS
from schemas.orders import OrderIntent, Side
from schemas.validation import Contract

_SMART = "SMART"
_LIMITED = ("LMT", "STP LMT", "LIT", "LOC", "REL")
"""Their limit price is one that was given, and not one that follows the market."""
_OCA_CANCEL, _OCA_REDUCE = 1, 2
"""One-cancels-all types that block: no two orders of a group can fill in the same moment."""
_SIDES = {"BUY": Side.BUY, "BOT": Side.BUY, "SELL": Side.SELL, "SLD": Side.SELL, "SSHORT": Side.SELL}


def decimal(value: float) -> Decimal:
    """The exact decimal that the gateway wrote: its floats are the shortest that read back the same."""
    number = Decimal(repr(float(value)))
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number


def _price(value: float) -> Decimal | None:
    return None if value >= UNSET_DOUBLE else decimal(value)


def execution_root(execution_id: str) -> tuple[str, int]:
    """Root and revision: a correction differs only in the digits after the last dot."""
    root, dot, revision = execution_id.rpartition(".")
    if dot and revision.isdigit() and int(revision) >= 1:
        return root, int(revision)
    return execution_id, 1


# contracts and times

_SOURCE_TAG = "SCIZOR_SOURCE"
"""Security id that the gateway simulator adds; a real gateway knows no such tag."""
_SOURCES = {
    "": (Source.IB, Source.IB),
    "real": (Source.REAL, Source.DERIVED),
    "file": (Source.REAL, Source.DERIVED),
    "synthetic": (Source.SYNTHETIC, Source.SYNTHETIC),
}
"""Daily and intraday."""


def contract(details: Any, now: datetime) -> Contract:
    found = details.contract
    tags = {tag.tag: tag.value for tag in details.secIdList or ()}
    daily, intraday = _SOURCES.get(tags.get(_SOURCE_TAG, ""), _SOURCES["synthetic"])
    return Contract(
        event_time=now,
        ingest_time=now,
        contract_id=found.conId,
        symbol=found.symbol,
        security_type=found.secType,
        exchange=found.exchange,
        primary_exchange=found.primaryExchange,
        currency=found.currency,
        local_symbol=found.localSymbol,
        trading_class=found.tradingClass,
        name=details.longName,
        minimum_tick=details.minTick or 0.01,
        multiplier=float(found.multiplier or 1),
        time_zone=hours.zone(details.timeZoneId).key,
        trading_hours=details.tradingHours,
        liquid_hours=details.liquidHours,
        daily_source=daily,
        intraday_source=intraday,
    )


def contract_to_ib(library: Library, known: Contract) -> Any:
    return library.contract(
        conId=known.contract_id,
        symbol=known.symbol,
        secType=known.security_type,
        exchange=known.exchange,
        primaryExchange=known.primary_exchange,
        currency=known.currency,
        localSymbol=known.local_symbol,
        tradingClass=known.trading_class,
    )


def moment(text: str) -> datetime:
    """A time as `formatDate` 2 gives it: seconds since the epoch; else UTC digits with any separators."""
    if text.isdigit() and len(text) != 8:
        return datetime.fromtimestamp(int(text), UTC)
    digits = "".join(filter(str.isdigit, text))[:14]
    return datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def bar_interval(known: Contract, size: timedelta, text: str) -> tuple[datetime, datetime]:
    """Start and end of a historical bar: a daily one is its session, an intraday one begins at its epoch second."""
    if len(text) == 8:
        return hours.session(known, date(int(text[:4]), int(text[4:6]), int(text[6:])))
    start = moment(text)
    return start, start + size


# to the gateway


class Link(NamedTuple):
    """What an order hangs on: the broker's id of its parent, and whether the gateway may pass it on already."""

    parent_order_id: int = 0
    transmit: bool = True


def to_contract(library: Library, intent: OrderIntent) -> Any:
    return library.contract(
        conId=intent.contract_id, symbol=intent.symbol, secType="STK", exchange=_SMART, currency=intent.currency
    )


def to_order(library: Library, intent: OrderIntent, account_id: str, link: Link) -> Any:
    """Type and time in force need no translation: our words are IB's."""
    order = library.order(
        action=intent.side.value,
        totalQuantity=float(intent.quantity),
        orderType=intent.order_type.value,
        tif=intent.time_in_force.value,
        orderRef=intent.intent_id,
        account=account_id,
        outsideRth=intent.outside_hours,
        parentId=link.parent_order_id,
        transmit=link.transmit,
    )
    for name, value in _prices(intent):
        if value is not None:
            setattr(order, name, float(value))
    if intent.good_till is not None:
        order.goodTillDate = f"{intent.good_till:%Y%m%d-%H:%M:%S}"  # with the dash it is UTC
    if intent.oca_group:
        order.ocaGroup = intent.oca_group
        order.ocaType = _OCA_REDUCE if intent.oca_reduces else _OCA_CANCEL
    return order


def _prices(intent: OrderIntent) -> Iterator[tuple[str, Decimal | None]]:
    """IB's fields for prices; what triggers an order, trails it or pegs it shares one."""
    trails = intent.order_type in TRAILS
    yield "lmtPrice", intent.limit_price
    yield "auxPrice", intent.trail_amount if trails else intent.stop_price or intent.peg_offset
    yield "trailStopPrice", intent.stop_price if trails else None
    yield "trailingPercent", intent.trail_percent
    yield "lmtPriceOffset", intent.limit_offset


# from the gateway


def open_order(order_id: int, contract: Any, order: Any, state: Any) -> BrokerOpenOrder:
    return BrokerOpenOrder(
        order_id=order_id,
        client_id=order.clientId,
        permanent_id=order.permId,
        order_ref=order.orderRef,
        account_id=order.account,
        contract_id=contract.conId,
        symbol=contract.symbol,
        side=_SIDES[order.action],
        quantity=decimal(order.totalQuantity),
        order_type=order.orderType,
        limit_price=_price(order.lmtPrice) if order.orderType in _LIMITED else None,
        time_in_force=order.tif,
        status=state.status,
        auxiliary_price=_price(order.auxPrice),
        trail_percent=_price(order.trailingPercent),
        oca_group=order.ocaGroup,
        limit_offset=_price(order.lmtPriceOffset),
        good_till=_until(order.goodTillDate),
        trail_stop=_price(order.trailStopPrice),
    )


def _until(text: str) -> datetime | None:
    """`20130301-16:00:00` is UTC; with a blank it is of the zone that follows, and without a zone nobody knows."""
    date_and_time, _, name = text.replace(" ", "-", 1).partition(" ")
    if not name and "-" not in text:
        return None
    try:
        zone = hours.zone(name) if name else UTC
        return datetime.strptime(date_and_time, "%Y%m%d-%H:%M:%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, KeyError):
        return None


def completed_order(contract: Any, order: Any, state: Any) -> BrokerCompletedOrder:
    filled = order.filledQuantity
    return BrokerCompletedOrder(
        permanent_id=order.permId,
        order_ref=order.orderRef,
        account_id=order.account,
        contract_id=contract.conId,
        symbol=contract.symbol,
        side=_SIDES[order.action],
        quantity=decimal(order.totalQuantity),
        filled_quantity=Decimal(0) if filled >= UNSET_DOUBLE else decimal(filled),
        order_type=order.orderType,
        limit_price=_price(order.lmtPrice) if order.orderType in _LIMITED else None,
        status=state.status,
        completed_status=state.completedStatus,
    )


def order_status(
    order_id: int,
    status: str,
    filled: float,
    remaining: float,
    average_price: float,
    permanent_id: int,
    _parent_id: int,
    _last_price: float,
    client_id: int,
    why_held: str,
    *_: Any,
) -> BrokerOrderStatus:
    return BrokerOrderStatus(
        order_id=order_id,
        client_id=client_id,
        permanent_id=permanent_id,
        status=status,
        filled=decimal(filled),
        remaining=decimal(remaining),
        average_price=decimal(average_price),
        why_held=why_held,
    )


def execution(_request_id: int, contract: Any, found: Any) -> BrokerExecution:
    root, revision = execution_root(found.execId)
    return BrokerExecution(
        root=root,
        revision=revision,
        order_id=found.orderId,
        client_id=found.clientId,
        permanent_id=found.permId,
        order_ref=found.orderRef,
        account_id=found.acctNumber,
        contract_id=contract.conId,
        symbol=contract.symbol,
        currency=contract.currency,
        side=_SIDES[found.side],
        quantity=decimal(found.shares),
        price=decimal(found.price),
        cumulative_quantity=decimal(found.cumQty),
        average_price=decimal(found.avgPrice),
        exchange=found.exchange,
        executed_at=found.time,
    )


def commission(report: Any) -> BrokerCommission:
    root, revision = execution_root(report.execId)
    return BrokerCommission(
        root=root,
        revision=revision,
        amount=decimal(report.commission),
        currency=report.currency,
        realised_pnl=_price(report.realizedPNL),
    )


REPORTS: dict[str, Callable[..., BrokerReport]] = {
    "openOrder": open_order,
    "orderStatus": order_status,
    "execDetails": execution,
    "commissionReport": commission,
}
"""Messages that are reports about orders."""


_BASE = "BASE"
"""IB's name for the ledger's lines in the account's own currency."""


def account_state(
    account_id: str, told: Sequence[tuple[str, str, str]], positions: Mapping[int, Decimal], now: datetime
) -> AccountState:
    """`told` has tags with their values and currencies; the ledger has one ExchangeRate for each currency."""
    values = {tag: (value, currency) for tag, value, currency in told if tag != "ExchangeRate"}
    missing = {"NetLiquidation", "TotalCashValue", "BuyingPower"} - set(values)
    if missing:
        raise GatewayUnavailableError(f"it told no {', '.join(sorted(missing))} of account {account_id}")
    margins = {tag: Decimal(values[tag][0]) for tag in ("InitMarginReq", "MaintMarginReq") if tag in values}
    return AccountState(
        event_time=now,
        ingest_time=now,
        account_id=account_id,
        currency=values["NetLiquidation"][1],
        net_liquidation=Decimal(values["NetLiquidation"][0]),
        cash=Decimal(values["TotalCashValue"][0]),
        buying_power=Decimal(values["BuyingPower"][0]),
        initial_margin=margins.get("InitMarginReq"),
        maintenance_margin=margins.get("MaintMarginReq"),
        exchange_rates={
            currency: Decimal(value) for tag, value, currency in told if tag == "ExchangeRate" and currency != _BASE
        },
        positions={str(contract_id): quantity for contract_id, quantity in positions.items()},
    )
