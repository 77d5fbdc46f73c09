"""Risk's books: everything of an account in one look, and decisions written on that one version of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ARRAY, JSON, BigInteger, Row, Text, bindparam
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.publish import Outgoing
from infra.store.columns_of_tables import plain
from infra.store.database import Store, at_once
from schemas.orders import ModifyIntent, OrderIntent, RiskDecision

# whoever changes anything about an account takes its row and raises its version, so that a decision notices
_LOCK = sql(
    "UPDATE books SET version = version + 1, updated_at = :now WHERE account_id = :account"
    " RETURNING realised_pnl_today, trading_day, unvalued"
)
_LOCK_ALL = sql("UPDATE books SET version = version + 1, updated_at = :now")
_OPEN_BOOK = sql(
    "INSERT INTO books (account_id, version, realised_pnl_today, updated_at) VALUES (:account, 0, 0, :now)"
    " ON CONFLICT DO NOTHING"
)
_READ = (
    sql("""
WITH rules AS (
    SELECT DISTINCT ON (scope) scope, limits FROM risk_limits WHERE scope = ANY(:scopes) ORDER BY scope, version DESC
), own AS (
    SELECT limits FROM rules WHERE scope = 'account:' || :account
), held AS (
    SELECT r.order_id, r.strategy_id, r.contract_id, r.symbol, r.currency, r.side, r.quantity::text,
           r.remaining::text, r.filled::text, r.state, r.price::text, r.order_type, r.limit_price::text,
           r.stop_price::text, r.opened_at, r.parent_id, r.oca_group, r.changes, p.side AS parent_side,
           p.filled::text AS parent_filled, p.changes AS parent_changes,
           (CASE WHEN p.state IN ('open', 'unknown') THEN p.quantity ELSE p.filled + p.remaining END)::text
               AS parent_quantity
    FROM reservations r LEFT JOIN reservations p ON p.order_id = r.parent_id AND p.contract_id = r.contract_id
    WHERE r.account_id = :account AND r.state <> 'released'
), parts AS (
    SELECT h.* FROM book_holdings h WHERE h.account_id = :account AND h.strategy_id = ANY(:strategies)
), touched AS (
    SELECT unnest(CAST(:contracts AS bigint[])) AS contract_id
    UNION SELECT contract_id FROM book_positions WHERE account_id = :account AND quantity <> 0
    UNION SELECT contract_id FROM held
    UNION SELECT contract_id FROM parts WHERE quantity <> 0
)
SELECT b.version, b.realised_pnl_today, b.trading_day, b.unvalued, a.currency, a.buying_power, a.rates, a.told_at,
    a.trading_day AS marked_day, a.unrealised_before,
    (SELECT coalesce(sum(abs(e.quantity) * greatest(r.value, abs(e.price)
            * CASE WHEN r.currency = a.currency THEN 1 ELSE (a.rates->>r.currency)::numeric END)), 0)
        FROM book_executions e JOIN reservations r USING (order_id)
        WHERE e.account_id = :account AND e.known_at > a.told_at AND r.parent_id IS NULL) AS spent,
    (SELECT json_object_agg(scope, limits) FROM rules) AS limits,
    (SELECT json_object_agg(scope, json_build_array(mode, by, reason))
        FROM trading_state WHERE scope = ANY(:scopes)) AS states,
    (SELECT json_agg(held ORDER BY opened_at, order_id) FROM held) AS held,
    (SELECT json_agg(json_build_array(contract_id, symbol, currency, quantity::text, average_price::text, price::text))
        FROM book_positions WHERE account_id = :account AND quantity <> 0) AS positions,
    (SELECT json_agg(json_build_array(strategy_id, contract_id, symbol, currency, quantity::text, average_price::text,
        earned_today::text, trading_day, unvalued)) FROM parts) AS parts,
    (SELECT json_agg(json_build_array(contract_id, price::text, received_at, average_volume::text))
        FROM marks WHERE contract_id IN (SELECT contract_id FROM touched)) AS marks,
    (SELECT json_object_agg(contract_id, coalesce(nullif(contract->>'primary_exchange', ''), exchange))
        FROM symbols WHERE contract_id = ANY(:contracts) AND (SELECT (limits->>'sessions_only')::boolean FROM own)
    ) AS exchanges,
    (SELECT json_object_agg(symbol, reason) FROM restrictions
        WHERE restricted AND symbol = ANY(:symbols)) AS restricted,
    (SELECT json_agg(json_build_array(strategy_id, contract_id, n)) FROM (
        SELECT strategy_id, contract_id, count(*) AS n FROM reservations
        WHERE account_id = :account AND opened_at > :minute_ago GROUP BY 1, 2) counted) AS minute,
    CASE WHEN (SELECT limits->>'same_side_orders_max' FROM own) IS NOT NULL THEN
        (SELECT json_agg(json_build_array(strategy_id, contract_id, side, n)) FROM (
            SELECT r.strategy_id, r.contract_id, r.side, count(*) AS n FROM reservations r
            LEFT JOIN parts USING (account_id, strategy_id, contract_id)
            WHERE r.account_id = :account AND r.strategy_id = ANY(:strategies) AND r.contract_id = ANY(:contracts)
              AND r.parent_id IS NULL AND r.opened_at > :day_ago
              AND r.opened_at > coalesce(parts.moved_at, '-infinity')
              AND r.opened_at > coalesce((SELECT event_time FROM trading_state t
                    WHERE t.scope = 'strategy:' || r.strategy_id), '-infinity')
            GROUP BY 1, 2, 3) counted) END AS same_side,
    CASE WHEN (SELECT limits->>'orders_per_fill_max' FROM own) IS NOT NULL THEN
        (SELECT json_agg(json_build_array(name, messages.n, fills.n))
        FROM unnest(CAST(:strategies AS text[])) AS name, LATERAL (
            SELECT count(*) AS n FROM (SELECT FROM book_executions WHERE account_id = :account AND strategy_id = name
                AND known_at > :ten_ago LIMIT 5000) few
        ) fills, LATERAL (
            -- no further than the rule asks: so many are as good as any more
            SELECT count(*) AS n FROM (SELECT FROM intents WHERE account_id = :account AND strategy_id = name
                AND received_at > greatest(:ten_ago, (SELECT event_time FROM trading_state
                    WHERE scope = 'strategy:' || name))
                LIMIT greatest(1, fills.n) * (SELECT least((limits->>'orders_per_fill_max')::numeric, 1e9)::bigint
                    FROM own)) few
        ) messages) END AS traffic,
    (SELECT json_agg(intent_id) FROM decisions WHERE intent_id = ANY(:intents)) AS decided
FROM books b LEFT JOIN book_accounts a USING (account_id) WHERE b.account_id = :account
""")
    .columns(
        limits=JSON, states=JSON, held=JSON, positions=JSON, parts=JSON, marks=JSON, exchanges=JSON, restricted=JSON,
        minute=JSON, same_side=JSON, traffic=JSON, decided=JSON,
    )
    .bindparams(
        bindparam("account", type_=Text),
        *(bindparam(name, type_=ARRAY(Text)) for name in ("scopes", "strategies", "symbols", "intents")),
        bindparam("contracts", type_=ARRAY(BigInteger)),
    )
)  # fmt: skip
TOLD_DECISIONS = """
    jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (
        intent_id text, type text, strategy_id text, contract_id bigint, order_id text, side text, quantity numeric,
        limit_price numeric, stop_price numeric, order_type text, parent_id text, oca_group text, symbol text,
        currency text, price numeric, value numeric, decision jsonb, event_time timestamptz,
        decision_id text, approved boolean, reason text, detail text, approved_fields text,
        decided_at timestamptz, expires_at timestamptz)
"""
"""As `told` gives them."""
ADD_DECISIONS = """
    INSERT INTO decisions (decision_id, intent_id, account_id, strategy_id, approved, reason, detail, approved_fields,
                           body, decided_at, expires_at)
    SELECT decision_id, intent_id, :account_id, strategy_id, approved, reason, detail, approved_fields, decision,
           decided_at, expires_at FROM {told}
"""
WHAT_FOLLOWS = """
proposed AS (
    INSERT INTO intents (intent_id, type, account_id, strategy_id, contract_id, order_id, side, quantity, limit_price,
                         body, event_time, received_at)
    SELECT intent_id, type, :account_id, strategy_id, contract_id, order_id, side, quantity, limit_price,
           decision->'intent', event_time, decided_at FROM rows {if_known}
), reserved AS (
    INSERT INTO reservations (order_id, account_id, strategy_id, contract_id, symbol, currency, side, quantity, told,
                              filled, remaining, price, value, order_type, limit_price, stop_price, parent_id,
                              oca_group, changes, rejected, sequence, state, opened_at)
    SELECT intent_id, :account_id, strategy_id, contract_id, symbol, currency, side, quantity, 0, 0, quantity, price,
           value, order_type, limit_price, stop_price, parent_id, oca_group, '[]', false, 0, 'open', decided_at
    FROM rows WHERE approved AND type = 'OrderIntent' {if_known}
), changed AS (
    UPDATE reservations r SET remaining = greatest(r.remaining, c.quantity - r.filled),
        price = greatest(r.price, c.price), value = greatest(r.value, c.value),
        limit_price = CASE WHEN r.limit_price + c.limit_price IS NULL THEN NULL
            WHEN r.side = 'BUY' THEN greatest(r.limit_price, c.limit_price)
            ELSE least(r.limit_price, c.limit_price) END,
        changes = r.changes || jsonb_build_array(jsonb_build_array(c.intent_id, c.quantity::text, c.price::text))
    FROM rows c WHERE c.approved AND c.type = 'ModifyIntent' AND r.order_id = c.order_id
), breached AS (
    INSERT INTO risk_events (breach_id, scope, account_id, strategy_id, rule, detail, event_time, ingest_time)
    SELECT decision_id, 'account:' || :account_id, :account_id, strategy_id, reason, detail, event_time, decided_at
    FROM rows WHERE NOT approved {if_known}
)"""
"""The intents, and what is reserved or denied by the decisions in `rows`."""
_DECIDE = at_once(f"""
unchanged AS (
    UPDATE books SET version = version + 1, updated_at = :now WHERE account_id = :account_id AND version = :version
    RETURNING version
), rows AS (
    SELECT * FROM unchanged, {TOLD_DECISIONS}
), {WHAT_FOLLOWS.format(if_known="")}, done AS (
    {ADD_DECISIONS.format(told="rows")} RETURNING decision_id
)""").bindparams(bindparam("account_id", type_=Text), bindparam("rows", type_=Text))
_MINUTE, _TEN_MINUTES, _DAY = timedelta(minutes=1), timedelta(minutes=10), timedelta(days=1)


Rate = Callable[[str], Decimal | None]
"""What a unit of a currency is worth in the account's, None when nobody has told."""


@dataclass(frozen=True)
class Day:
    """What an account or a strategy has earned, and on which trading day."""

    realised_pnl: Decimal
    """In the account's base currency."""
    day: date | None
    unvalued: Mapping[str, Decimal] = field(default_factory=dict)
    """By currency, what has had no rate yet."""

    def on(self, day: date) -> Decimal:
        """Of `day`: nothing yet when the book is of an earlier one."""
        return self.realised_pnl if day == self.day else Decimal(0)

    def earned(self, amounts: Mapping[str, Decimal], day: date, rate: Rate) -> "Day":
        """With what was earned on `day`; news of a day that is over count for the day of the book."""
        begun = self if self.day is not None and day <= self.day else Day(Decimal(0), day)
        unvalued = {each: begun.unvalued.get(each, Decimal(0)) + amount for each, amount in amounts.items()}
        return replace(begun, unvalued={**begun.unvalued, **unvalued}).valued(rate)

    def valued(self, rate: Rate) -> "Day":
        """With everything valued that there is a rate for."""
        total, left = self.realised_pnl, {}
        for currency, amount in self.unvalued.items():
            if (worth := rate(currency)) is not None:
                total += amount * worth
            elif amount:
                left[currency] = amount
        return Day(round(total, 8), self.day, left)


@dataclass(frozen=True)
class Asked:
    """What a look at the books is about."""

    account_id: str
    intents: Sequence[str] = ()
    contracts: Sequence[int] = ()
    strategies: Sequence[str] = ()
    symbols: Sequence[str] = ()

    @property
    def scopes(self) -> list[str]:
        named = [f"strategy:{each}" for each in self.strategies] + [f"symbol:{each}" for each in self.symbols]
        return ["global", f"account:{self.account_id}", *named]


class Decided(NamedTuple):
    """A decision with what is reserved by it: what a share counts, in the order's and in the account's currency."""

    decision: RiskDecision
    fingerprint: str
    """Of what is approved."""
    price: Decimal
    value: Decimal
    decision_json: bytes = b""
    """As it is written, by whoever has written it already."""


async def lock(connection: AsyncConnection, account_id: str, now: datetime) -> Day:
    """Take the account's row: until the transaction ends nobody else decides, and decisions under way are void."""
    values = {"account": account_id, "now": now}
    row = (await connection.execute(_LOCK, values)).first()
    if row is None:
        await connection.execute(_OPEN_BOOK, values)
        row = (await connection.execute(_LOCK, values)).one()
    return Day(plain(row.realised_pnl_today), row.trading_day, amounts(row.unvalued))


def amounts(stored: Mapping[str, str]) -> dict[str, Decimal]:
    """By currency, as they are stored."""
    return {currency: Decimal(amount) for currency, amount in stored.items()}


def rate_of(currency: str | None, rates: Mapping[str, str] | None) -> Rate:
    """By what the broker has told of the account, if it has."""
    known = {each: Decimal(rate) for each, rate in (rates or {}).items()}
    return lambda each: Decimal(1) if each == currency else known.get(each)


async def lock_all(connection: AsyncConnection, now: datetime) -> None:
    """Take the rows of all accounts, before anything else: what changes holds for each of them."""
    await connection.execute(_LOCK_ALL, {"now": now})


async def open_book(connection: AsyncConnection, account_id: str, now: datetime) -> None:
    """Make the account's row, when it is missing."""
    await connection.execute(_OPEN_BOOK, {"account": account_id, "now": now})


async def read(connection: AsyncConnection, asked: Asked, now: datetime) -> Row[Any] | None:
    """The book as it is now, in one look; None when there is none yet."""
    return (await connection.execute(_READ, values_to_read(asked, now))).first()


def values_to_read(asked: Asked, now: datetime) -> dict[str, Any]:
    """What the statement that reads a book wants to know."""
    return {
        "account": asked.account_id,
        "scopes": asked.scopes,
        "strategies": list(asked.strategies),
        "symbols": list(asked.symbols),
        "contracts": list(asked.contracts),
        "intents": list(asked.intents),
        "minute_ago": now - _MINUTE,
        "ten_ago": now - _TEN_MINUTES,
        "day_ago": now - _DAY,
    }


async def decide(store: Store, version: int, made: Sequence[Decided], records: Sequence[Outgoing]) -> bool:
    """Write and publish decisions of one account; False when its book has changed since it was read: then not one."""
    return await store.at_once(_DECIDE, values_of(version, made), records)


def values_of(version: int, made: Sequence[Decided]) -> dict[str, Any]:
    """What the statement that writes decisions takes."""
    return {"version": version, "now": made[0].decision.basis.decided_at, **told(made)}


def told(made: Sequence[Decided]) -> dict[str, Any]:
    """Decisions of one account, as TOLD_DECISIONS takes them."""
    return {
        "account_id": made[0].decision.account_id,
        "rows": orjson.dumps([_row(each) for each in made]).decode(),
    }


def _row(made: Decided) -> dict[str, Any]:
    decision = made.decision
    intent, basis = decision.intent, decision.basis
    order = intent if isinstance(intent, OrderIntent) else intent.wanted if isinstance(intent, ModifyIntent) else None
    terms: dict[str, Any] = {}
    if order is not None:
        terms = {
            "contract_id": order.contract_id,
            "side": order.side.value,
            "quantity": str(order.quantity),
            "limit_price": None if order.limit_price is None else str(order.limit_price),
            "stop_price": None if order.stop_price is None else str(order.stop_price),
            "order_type": order.order_type.value,
            "parent_id": order.parent_id,
            "oca_group": order.oca_group,
            "symbol": order.symbol,
            "currency": order.currency,
            "price": str(made.price),
            "value": str(made.value),
        }
    return {
        "intent_id": intent.intent_id,
        "type": intent.type,
        "strategy_id": intent.strategy_id,
        "order_id": None if isinstance(intent, OrderIntent) else intent.order_id,
        "decision": orjson.Fragment(made.decision_json or decision.to_json()),
        "event_time": intent.event_time,
        "decision_id": decision.decision_id,
        "approved": decision.approved,
        "reason": decision.reason.value if decision.reason else None,
        "detail": decision.detail,
        "approved_fields": made.fingerprint if decision.approved else None,
        "decided_at": basis.decided_at,
        "expires_at": basis.decided_at + decision.expires_after,
        **terms,
    }
