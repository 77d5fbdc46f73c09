"""Signals and intents as they are published: functions of the strategy, of what it wants and of the input behind it."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.sizing import to_decimal
from engine.strategy import StrategySignal
from schemas.market import Bar, Source, Tick
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent, OrderType, Side
from schemas.place import At
from schemas.strategy import Deploy, Signal
from schemas.validation import Contract

Output = Signal | OrderIntent | CancelIntent | ModifyIntent

_OUTPUTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:strategy-outputs")
_REASON_MAX = 500


@dataclass(frozen=True, slots=True)
class Price:
    """The last price of a contract that a strategy saw, and when."""

    value: float
    event_time: datetime
    ingest_time: datetime
    source: Source


def price_of(event: Bar | Tick) -> Price:
    value = event.close if isinstance(event, Bar) else event.price
    return Price(value, event.event_time, event.ingest_time, event.source)


def id_of(output: Output) -> str:
    return output.signal_id if isinstance(output, Signal) else output.intent_id


def output_id(strategy_id: str, at: At, number: int, kind: str) -> str:
    """The id of the `number`th output of its kind that the input at `at` causes: a replay gives the same."""
    return str(uuid.uuid5(_OUTPUTS, f"{strategy_id}|{at.topic}/{at.partition}/{at.offset}|{number}|{kind}"))


def signal(signal_id: str, deployment: Deploy, wish: StrategySignal, contract: Contract, price: Price) -> Signal:
    return Signal(
        signal_id=signal_id,
        strategy_id=deployment.strategy_id,
        shadow=deployment.shadow,
        contract_id=contract.contract_id,
        symbol=contract.symbol,
        target=wish.value,
        reason=wish.reason[:_REASON_MAX],
        price=to_decimal(price.value),
        source=price.source,
        event_time=price.event_time,
        ingest_time=price.ingest_time,
    )


def intent(intent_id: str, deployment: Deploy, quantity: Decimal, contract: Contract, price: Price) -> OrderIntent:
    """A market order for a signed quantity."""
    return OrderIntent(
        intent_id=intent_id,
        account_id=deployment.account_id,
        strategy_id=deployment.strategy_id,
        contract_id=contract.contract_id,
        symbol=contract.symbol,
        currency=contract.currency,
        side=Side.BUY if quantity > 0 else Side.SELL,
        quantity=abs(quantity),
        order_type=OrderType.MARKET,
        reference_price=to_decimal(price.value),
        reference_time=price.ingest_time,
        minimum_tick=to_decimal(contract.minimum_tick),
        event_time=price.event_time,
        ingest_time=price.ingest_time,
    )
