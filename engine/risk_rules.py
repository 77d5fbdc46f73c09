"""The rules that a new or changed order has to pass: each looks at one thing, and says what is wrong or None.

What a limit says may be reached, not passed. A figure that is needed and not known denies.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from engine.risk_book import Book, Figures, Wish, gross_worth, net_worth, reduces
from schemas.account import RiskLimits, TradingMode
from schemas.order_words import TRIGGERED, TimeInForce
from schemas.orders import Side
from schemas.risk import DenialReason

CLOCK_SKEW_MAX = timedelta(milliseconds=250)
"""A price from further in the future than this means that two clocks disagree."""

Denial = tuple[DenialReason, str]
Rule = Callable[[Wish, Book, RiskLimits, datetime], Denial | None]
ScopeRule = Callable[[Wish, Figures, RiskLimits, datetime], Denial | None]

# of the order and the account


def _trading_mode(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if book.trading_mode is TradingMode.HALTED:
        # word for word what decisions say that name nobody: they are proven by making them again
        return DenialReason.TRADING_HALTED, book.stopped_by or "trading is halted for this account, strategy or symbol"
    only_reducing = book.trading_mode is TradingMode.REDUCING or wish.order.reduces_only
    if only_reducing and not _reduces(wish, book):
        why = f": {book.stopped_by}" if book.stopped_by else ""
        return DenialReason.REDUCING_ONLY, f"only orders that reduce the position of {book.position:f} pass{why}"
    return None


def _reduces(wish: Wish, book: Figures) -> bool:
    """A changed order that adds nothing leaves the position as near to zero as it was going to be."""
    if not wish.is_new and not wish.added:
        return True
    return reduces(wish.order, book, wish.added)


def _once(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if not book.working:
        what = "its parent" if wish.is_new else "the order to be changed"
        return DenialReason.UNKNOWN_ORDER, f"{what} is not known to risk, or has ended"
    if book.blocked_by:
        return DenialReason.INSTRUMENT_BLOCKED, f"nobody can tell whether the broker has order {book.blocked_by}"
    if book.duplicate_of:
        return DenialReason.DUPLICATE, f"the same as {book.duplicate_of} a moment ago"
    return None


def _family(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    """The broker releases an exit whole when its parent has filled: only one that takes back what its parent enters
    counts with no more than that."""
    quantity = wish.order.quantity
    raises = wish.is_new or wish.added
    if book.entered is not None and raises and quantity > book.entered:
        return DenialReason.QUANTITY_MAX, f"{quantity:f} are more than the {book.entered:f} that its parent may come to"
    if book.left and book.left > quantity < book.covered:
        return DenialReason.QUANTITY_MAX, f"an exit of it is for {book.left:f}: make that smaller first"
    if book.apart:
        return DenialReason.UNSUPPORTED, f"it and {book.apart} could both fill: exits of one order need one oca_group"
    return None


def _instrument(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    order = wish.order
    if book.restricted and not _reduces(wish, book):
        return DenialReason.RESTRICTED, f"{order.symbol} is restricted: {book.restricted}"
    for scope, figures in book.each():
        if figures.limits is None or figures.limits.instruments is None:
            continue
        if order.symbol not in figures.limits.instruments:
            return DenialReason.INSTRUMENT_NOT_ALLOWED, f"{order.symbol} is not on the list of {scope or 'the account'}"
    at_once = order.time_in_force in (TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK) and not order.outside_hours
    if limits.sessions_only and at_once and not book.in_session:
        known = "not known" if book.in_session is None else "over or not begun"
        return DenialReason.OUTSIDE_HOURS, f"the session of {order.symbol} is {known}"
    return None


def _shape(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    order = wish.order
    if order.quantity % 1:
        return DenialReason.LOT_SIZE, f"{order.quantity:f} is not a whole number of shares"
    for name in ("limit_price", "stop_price"):
        price = getattr(order, name)
        if price is not None and price % order.minimum_tick:
            return DenialReason.TICK_SIZE, f"{name} {price:f} is not a multiple of {order.minimum_tick:f}"
    return None


def _signal(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    oldest = limits.signal_age_max_seconds
    if oldest is not None and (age := (now - wish.order.ingest_time).total_seconds()) > oldest and wish.is_new:
        return DenialReason.SIGNAL_STALE, f"what caused it is {age:.3f} s old, at most {oldest:g} s pass"
    return _too_old("the strategy's price", wish.order.reference_time, limits, now)


def _price(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    """Risk values by the price that it has seen itself; the strategy's has to be near it."""
    seen, told = book.price, wish.order.reference_price
    if seen is None or book.price_time is None or seen <= 0:
        return DenialReason.PRICE_MISSING, f"risk has seen no price of {wish.order.symbol} to value it by"
    if told <= 0:
        return DenialReason.PRICE_MISSING, f"the reference price {told:f} is no price"
    if denial := _too_old("the price", book.price_time, limits, now):
        return denial
    if abs(told - seen) > limits.price_collar * seen:
        return DenialReason.PRICE_DISAGREES, f"the strategy saw {told:f}, risk {seen:f}"
    return _collar(wish, seen, limits)


def _too_old(what: str, moment: datetime, limits: RiskLimits, now: datetime) -> Denial | None:
    age, oldest = now - moment, limits.price_age_max_seconds
    if age > timedelta(seconds=oldest):
        return DenialReason.PRICE_STALE, f"{what} is {age.total_seconds():.3f} s old, at most {oldest:g} s pass"
    if age < -CLOCK_SKEW_MAX:
        return DenialReason.PRICE_STALE, f"{what} is from {-age.total_seconds():.3f} s in the future"
    return None


def _collar(wish: Wish, seen: Decimal, limits: RiskLimits) -> Denial | None:
    """A limit far from the price is a mistake; one that waits for its stop is held against that, and the exits of a
    bracket may stand as far away as they like, on the side where they wait."""
    order = wish.order
    if order.limit_price is None:
        return None
    centre = order.stop_price if order.order_type in TRIGGERED and order.stop_price else seen
    beyond = (order.limit_price - centre) * order.side.sign
    distance = beyond if order.parent_id is not None else abs(beyond)
    if distance > limits.price_collar * centre:
        share = distance / centre
        return DenialReason.PRICE_COLLAR, f"{share:.4f} away from {centre:f}, at most {limits.price_collar:f}"
    return None


def _currency(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    """Limits are in the account's base currency: without a fresh rate nothing of another one can be valued."""
    if not book.currency:
        return DenialReason.ACCOUNT_UNKNOWN, "the broker has not told the account's base currency"
    if wish.order.currency == book.currency:
        return None
    age = _account_age(book, now)
    if book.fx_rate is None or book.fx_rate <= 0 or age is None or age > limits.account_age_max_seconds:
        known = "none" if book.fx_rate is None or age is None else f"{age:.0f} s old"
        return DenialReason.FX_STALE, f"the rate of {wish.order.currency} in {book.currency}: {known}"
    return None


def _account_age(book: Book, now: datetime) -> float | None:
    return None if book.account_time is None else (now - book.account_time).total_seconds()


def _buying_power(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if limits.buying_power_share_max is None or not wish.added or _reduces(wish, book):
        return None
    age = _account_age(book, now)
    if book.buying_power is None or age is None or age > limits.account_age_max_seconds:
        return DenialReason.ACCOUNT_UNKNOWN, "the broker has told no buying power lately"
    need, most = wish.added * wish.value, book.buying_power * limits.buying_power_share_max
    if need > most:
        return DenialReason.BUYING_POWER, f"needs {need:f}, {most:f} may be used"
    return None


def _volume(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if limits.adv_share_max is None:
        return None
    if book.average_volume is None:
        return DenialReason.ADV_SHARE_MAX, f"the daily volume of {wish.order.symbol} is not known: collect daily bars"
    most = limits.adv_share_max * book.average_volume
    if wish.order.quantity > most:
        return DenialReason.ADV_SHARE_MAX, f"{wish.order.quantity:f} of {book.average_volume:f} a day, at most {most:f}"
    return None


def _self_match(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    if not book.crossing:
        return None
    found = f"it could trade with the account's own order {book.crossing}"
    if book.crossing_terms:  # decisions that do not tell them are proven word for word
        free = f"cancel that (`DELETE /orders/{book.crossing}`) or wait until it is done"
        found += f", {book.crossing_terms}, on the other side: {free}"
    return DenialReason.SELF_MATCH, found


def _repetition(wish: Wish, book: Book, limits: RiskLimits, now: datetime) -> Denial | None:
    """What a machine that runs wild does. The strategy is halted with the denial, see `DISABLING`."""
    most = limits.same_side_orders_max
    if most is not None and wish.is_new and wish.order.parent_id is None and book.same_side_orders + 1 > most:
        found = f"{book.same_side_orders} orders on this side changed no position, at most {most}"
        return DenialReason.SAME_SIDE_ORDERS_MAX, found
    most = limits.orders_per_fill_max
    if most is not None and book.messages_lately + 1 > most * max(1, book.fills_lately):
        found = f"{book.messages_lately} messages for {book.fills_lately} fills in ten minutes, at most {most} a fill"
        return DenialReason.ORDERS_PER_FILL_MAX, found
    most = limits.strategy_orders_per_minute_max
    if most is not None and wish.is_new and book.strategy_orders_last_minute + 1 > most:
        found = f"{book.strategy_orders_last_minute} orders of the strategy in the last minute, at most {most}"
        return DenialReason.ORDER_RATE_MAX, found
    return None


# of every scope that has limits


def _known(wish: Wish, has: Figures, limits: RiskLimits, now: datetime) -> Denial | None:
    """What cannot be valued may be too much already: only what makes it less passes."""
    if _reduces(wish, has):
        return None
    if has.exposure_unknown:
        return DenialReason.GROSS_EXPOSURE_MAX, f"{has.exposure_unknown} is held and cannot be valued"
    if has.loss_unknown:
        return DenialReason.DAILY_LOSS_MAX, f"what today has brought in {has.loss_unknown} cannot be valued: no rate"
    return None


def _size(wish: Wish, has: Figures, limits: RiskLimits, now: datetime) -> Denial | None:
    quantity = wish.order.quantity
    if quantity > limits.quantity_max:
        return DenialReason.QUANTITY_MAX, f"{quantity:f} is more than {limits.quantity_max:f} an order"
    if wish.notional > limits.notional_max:
        return DenialReason.NOTIONAL_MAX, f"worth {wish.notional:f}, at most {limits.notional_max:f} an order"
    return None


def _position(wish: Wish, has: Figures, limits: RiskLimits, now: datetime) -> Denial | None:
    # only the side that this order adds to can refuse it: otherwise a full book could not be brought down
    is_buy = wish.order.side is Side.BUY
    own_side = has.position + has.open_buys if is_buy else has.open_sells - has.position
    own_side += wish.added
    if wish.added and own_side > limits.position_max:
        worst = own_side * wish.order.side.sign
        return DenialReason.POSITION_MAX, f"the position could reach {worst:f}, at most {limits.position_max:f}"
    return None


def _exposure(wish: Wish, has: Figures, limits: RiskLimits, now: datetime) -> Denial | None:
    # only the side that this order adds to can refuse it, and only an order that may make that side worth more
    if not wish.may_cost_more:
        return None
    is_buy, sign = wish.order.side is Side.BUY, wish.order.side.sign
    orders = (has.open_buys if is_buy else has.open_sells) + wish.added
    # what is no dearer has counted in `open_price` before, or is an exit, which counts at what it takes back
    own = abs(wish.price) if wish.dearer else Decimal(0)
    seen, price = wish.seen * wish.rate, max(wish.seen, own, has.open_price) * wish.rate
    here = has.position * sign, orders, seen, price
    gross = has.exposure_elsewhere + (worth := gross_worth(*here))
    if worth and gross > limits.gross_exposure_max:
        return DenialReason.GROSS_EXPOSURE_MAX, f"gross exposure {gross:f}, at most {limits.gross_exposure_max:f}"
    if limits.net_exposure_max is None:
        return None
    net = net_worth(*here) + sign * (has.net_high_elsewhere if is_buy else has.net_low_elsewhere)
    if net > limits.net_exposure_max:
        return DenialReason.NET_EXPOSURE_MAX, f"net exposure {sign * net:f}, at most {limits.net_exposure_max:f}"
    return None


def _loss(wish: Wish, has: Figures, limits: RiskLimits, now: datetime) -> Denial | None:
    mode = mode_after(has.pnl_today, limits)
    if mode is not TradingMode.ACTIVE and not _reduces(wish, has):
        most = limits.daily_loss_max if mode is TradingMode.HALTED else reducing_loss(limits)
        return DenialReason.DAILY_LOSS_MAX, f"lost {-has.pnl_today:f} today, at most {most:f}"
    return None


def _flow(wish: Wish, has: Figures, limits: RiskLimits, now: datetime) -> Denial | None:
    if not wish.is_new:
        return None
    if has.open_orders + 1 > limits.open_orders_max:
        return DenialReason.OPEN_ORDERS_MAX, f"{has.open_orders} orders are open, at most {limits.open_orders_max}"
    if has.open_orders_of_contract + 1 > limits.open_orders_per_contract_max:
        most = limits.open_orders_per_contract_max
        return DenialReason.OPEN_ORDERS_MAX, f"{has.open_orders_of_contract} are open for this symbol, at most {most}"
    if has.orders_last_minute + 1 > limits.orders_per_minute_max:
        most = limits.orders_per_minute_max
        return DenialReason.ORDER_RATE_MAX, f"{has.orders_last_minute} orders in the last minute, at most {most}"
    return None


def reducing_loss(limits: RiskLimits) -> Decimal:
    """From which loss of a day on only orders that reduce pass."""
    return limits.daily_loss_max * 2 / 3 if limits.daily_loss_reducing is None else limits.daily_loss_reducing


def mode_after(pnl_today: Decimal, limits: RiskLimits) -> TradingMode:
    """What a day that earned so much leaves of trading."""
    if -pnl_today > limits.daily_loss_max:
        return TradingMode.HALTED
    return TradingMode.REDUCING if -pnl_today > reducing_loss(limits) else TradingMode.ACTIVE


RULES: tuple[Rule, ...] = (
    _trading_mode,
    _once,
    _family,
    _instrument,
    _shape,
    _signal,
    _price,
    _currency,
    _volume,
    _self_match,
)
"""Asked first, in this order, of the order and its account."""

SCOPE_RULES: tuple[ScopeRule, ...] = (_known, _size, _position, _exposure, _loss, _flow)
"""Asked then, in this order, of the account, of the strategy and of the symbol: of each that has limits."""

LAST_RULES: tuple[Rule, ...] = (_buying_power, _repetition)
"""Asked last: they can disable a strategy, which an order that is denied anyway shall not do."""

DISABLING = frozenset({DenialReason.SAME_SIDE_ORDERS_MAX, DenialReason.ORDERS_PER_FILL_MAX})
"""With these denials the strategy is halted until a trader enables it again."""
