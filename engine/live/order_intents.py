"""A strategy's orders as intents: the words of a backtest, with Decimal prices on the contract's ticks."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from engine.live.desk import Asked
from engine.live.outputs import Price
from engine.order_requests import OrderNews, OrderRequest, OrderState
from engine.orders import UNDER_WAY
from engine.sizing import to_decimal
from schemas.moments import to_datetime, to_microseconds
from schemas.orders import (
    CancelIntent,
    Fill,
    ModifyIntent,
    OrderIntent,
    OrderStatus,
    OrderUpdate,
    RiskDecision,
    Side,
)
from schemas.strategy import Deploy
from schemas.validation import Contract

IdOf = Callable[[int], str]
"""The id of the `number`th intent that the input in hand causes."""
_TERMS = ("quantity", "limit_price", "stop_price")
_GROUPS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:strategy-groups")
_STATES = {
    OrderStatus.NEW: OrderState.NEW,
    OrderStatus.PARTIALLY_FILLED: OrderState.PARTIALLY_FILLED,
    OrderStatus.FILLED: OrderState.FILLED,
    OrderStatus.CANCELED: OrderState.CANCELED,
    OrderStatus.EXPIRED: OrderState.EXPIRED,
    OrderStatus.REJECTED: OrderState.REJECTED,
}


@dataclass
class _Kept:
    """One of the strategy's orders, by our number and by its intent."""

    order_id: int
    intent: OrderIntent
    filled: Decimal = Decimal(0)


class OrderBook:
    """Which intent is which of the strategy's orders, and how each stands."""

    def __init__(self, deployment: Deploy, contracts: Mapping[int, Contract]) -> None:
        self._deployment = deployment
        self._contracts = contracts
        self._by_intent: dict[str, _Kept] = {}
        self._by_number: dict[int, _Kept] = {}
        self._before: dict[str, tuple[_Kept, OrderIntent]] = {}  # by the intent that asks for a change

    def intents(
        self, asked: list[Asked], prices: Mapping[int, Price], id_of: IdOf
    ) -> list[OrderIntent | CancelIntent | ModifyIntent]:
        """What follows from the wishes, in their order; an order without a price to hold it against is left out."""
        made: list[OrderIntent | CancelIntent | ModifyIntent] = []
        ids = {each.order_id: id_of(number) for number, each in enumerate(asked) if each.request is not None}
        for number, each in enumerate(asked):
            price = prices.get(each.contract_id)
            if price is None:
                continue
            if each.request is not None:
                intent = self._order(each, each.request, price, ids)
                self._keep(_Kept(each.order_id, intent))
                made.append(intent)
            elif (known := self._by_number.get(each.order_id)) is not None:
                change = self._cancel if each.cancel else self._modify
                made.append(change(known, each, price, id_of(number)))
        return made

    def denied(self, reason: str) -> list[OrderNews]:
        """What its orders are when nobody carries them on any more."""
        return [
            OrderNews(
                each.order_id,
                each.intent.contract_id,
                OrderState.DENIED,
                float(each.intent.quantity),
                float(each.filled),
                0,
                reason,
            )
            for each in self._by_number.values()
        ]

    def news(self, event: RiskDecision | OrderUpdate | Fill) -> OrderNews | None:
        """What an answer says of an order of the strategy's; None when it is none, or says nothing new."""
        if isinstance(event, RiskDecision):
            if not event.approved:
                self._undo(event.intent_id)
            known = self._by_intent.get(event.intent_id)
            if known is None or event.approved:
                return None
            return self._told(known, OrderState.DENIED, event, event.detail)
        known = self._by_intent.get(event.order_id)
        if known is None or isinstance(event, Fill):
            return None
        self._answer(event)
        state = _STATES.get(event.status)
        if state is None:
            return None
        known.filled = max(known.filled, event.cumulative_quantity)
        return self._told(known, state, event, event.reason)

    def _answer(self, told: OrderUpdate) -> None:
        """The broker has taken or refused a change, and with it those before it that it left out."""
        if told.last_change not in self._before:
            return
        asked = self._asked_beside(told.last_change)
        for change in asked[: asked.index(told.last_change)]:
            del self._before[change]
        if self._was_taken(told):
            del self._before[told.last_change]
        else:
            self._undo(told.last_change)

    def _was_taken(self, told: OrderUpdate) -> bool:
        """While another change is on its way the reason speaks of that one: then the terms tell."""
        if told.reason != UNDER_WAY:
            return not (told.code or told.reason)
        kept, before = self._before[told.last_change]
        asked = self._asked_beside(told.last_change)
        later = asked[asked.index(told.last_change) + 1 :]
        wanted = self._before[later[0]][1] if later else kept.intent
        changed = [name for name in _TERMS if getattr(wanted, name) != getattr(before, name)]
        return all(getattr(told, name) == getattr(wanted, name) for name in changed)

    def _asked_beside(self, change: str) -> list[str]:
        """The changes of its order that nobody has answered, in their order."""
        kept, _ = self._before[change]
        return [each for each, (of, _) in self._before.items() if of is kept]

    def _undo(self, change: str) -> None:
        """It was denied or refused: the order is what it was before, as far as nothing was asked for since."""
        if change not in self._before:
            return
        asked = self._asked_beside(change)
        later = asked[asked.index(change) + 1 :]
        kept, before = self._before.pop(change)
        if later:
            self._before[later[0]] = (kept, before)
        else:
            kept.intent = before

    def _told(self, known: _Kept, state: OrderState, event: Any, reason: str) -> OrderNews:
        if state.final:
            self._by_intent.pop(known.intent.intent_id, None)
            self._by_number.pop(known.order_id, None)
            self._before = {change: each for change, each in self._before.items() if each[0] is not known}
        intent = known.intent
        moment = to_microseconds(event.event_time)
        return OrderNews(
            known.order_id, intent.contract_id, state, float(intent.quantity), float(known.filled), moment, reason
        )

    def _keep(self, kept: _Kept) -> None:
        self._by_intent[kept.intent.intent_id] = kept
        self._by_number[kept.order_id] = kept

    def _order(self, asked: Asked, request: OrderRequest, price: Price, ids: Mapping[int, str]) -> OrderIntent:
        contract = self._contracts[request.contract_id]
        legs = tuple(ids[each] for each in asked.legs)
        child = bool(legs) and asked.order_id != asked.legs[0]
        return OrderIntent(
            intent_id=ids[asked.order_id],
            account_id=self._deployment.account_id,
            strategy_id=self._deployment.strategy_id,
            contract_id=contract.contract_id,
            symbol=contract.symbol,
            currency=contract.currency,
            side=Side.BUY if request.quantity > 0 else Side.SELL,
            quantity=to_decimal(abs(request.quantity)),
            order_type=request.kind,
            limit_price=_on_tick(request.limit, contract),
            stop_price=_on_tick(request.stop, contract),
            trail_amount=_on_tick(request.trail, contract),
            trail_percent=None if request.trail_percent is None else to_decimal(request.trail_percent),
            limit_offset=_on_tick(request.limit_offset, contract),
            time_in_force=request.tif,
            good_till=None if request.good_till_us is None else to_datetime(request.good_till_us),
            parent_id=legs[0] if child else None,
            legs=legs,
            oca_group=self._group(legs[0] if child else request.oca),
            oca_reduces=child,
            **_stamp(contract, price),
        )

    def _group(self, name: str) -> str:
        """Groups of two strategies never meet."""
        return str(uuid.uuid5(_GROUPS, f"{self._deployment.strategy_id}|{name}")) if name else ""

    def _cancel(self, known: _Kept, asked: Asked, price: Price, intent_id: str) -> CancelIntent:
        return CancelIntent(
            intent_id=intent_id,
            account_id=known.intent.account_id,
            strategy_id=known.intent.strategy_id,
            order_id=known.intent.intent_id,
            reason="canceled by the strategy",
            event_time=price.event_time,
            ingest_time=price.ingest_time,
        )

    def _modify(self, known: _Kept, asked: Asked, price: Price, intent_id: str) -> ModifyIntent:
        contract, before = self._contracts[asked.contract_id], known.intent
        changes: dict[str, Any] = _stamp(contract, price)
        if asked.quantity is not None:
            changes["quantity"] = to_decimal(asked.quantity)
        if asked.limit is not None:
            changes["limit_price"] = _on_tick(asked.limit, contract)
        if asked.stop is not None:
            changes["stop_price"] = _on_tick(asked.stop, contract)
        known.intent = wanted = before.revised(**changes)
        self._before[intent_id] = (known, before)
        return ModifyIntent(
            intent_id=intent_id,
            account_id=wanted.account_id,
            strategy_id=wanted.strategy_id,
            order_id=wanted.intent_id,
            wanted=wanted,
            event_time=price.event_time,
            ingest_time=price.ingest_time,
        )


def _stamp(contract: Contract, price: Price) -> dict[str, Any]:
    return {
        "reference_price": to_decimal(price.value),
        "reference_time": price.ingest_time,
        "minimum_tick": to_decimal(contract.minimum_tick),
        "event_time": price.event_time,
        "ingest_time": price.ingest_time,
    }


def _on_tick(price: float | None, contract: Contract) -> Decimal | None:
    """The nearest price that can be quoted: a strategy's arithmetic rarely ends on one."""
    if price is None:
        return None
    tick = to_decimal(contract.minimum_tick)
    return (to_decimal(price) / tick).quantize(Decimal(1), ROUND_HALF_EVEN) * tick
