"""Lists of what happened on a day, for its report: round trips, orders, denials, and everything out of the ordinary."""

from datetime import datetime
from typing import Any

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.daily import Rows, Wanted

_TRADES = sql("""
SELECT t.*, count(*) OVER () AS of FROM trades t
WHERE account_id = :account AND closed_at >= :begins AND closed_at < :ends
  AND (CAST(:strategy AS text) IS NULL OR strategy_id = :strategy) ORDER BY closed_at LIMIT :most
""")
_ORDERS = sql("""
WITH counted AS (
    SELECT DISTINCT ON (execution_id) order_id, type, last_quantity, last_price, event_time FROM fills
    WHERE account_id = :account AND event_time < :ends AND execution_id IN (
        SELECT execution_id FROM fills WHERE account_id = :account AND event_time >= :begins AND event_time < :ends)
    ORDER BY execution_id, revision DESC
), filled AS (
    SELECT order_id, sum(last_quantity) AS filled, sum(last_quantity * last_price) / sum(last_quantity) AS average_price
    FROM counted WHERE type <> 'FillBusted' AND event_time >= :begins GROUP BY order_id
)
SELECT order_id, o.strategy_id, o.contract_id, o.symbol, o.side, f.filled, f.average_price, o.created_at,
    o.intent ->> 'currency' AS currency, o.intent ->> 'reference_price' AS decided,
    d.body -> 'basis' ->> 'price' AS seen
FROM filled f JOIN orders o USING (order_id) LEFT JOIN decisions d ON d.decision_id = o.decision_id
WHERE o.decision_id IS NOT NULL AND o.intent IS NOT NULL
  AND (CAST(:strategy AS text) IS NULL OR o.strategy_id = :strategy)
ORDER BY o.created_at, order_id
""")
_DENIALS = sql("""
SELECT d.reason, d.detail, d.intent_id, d.strategy_id, i.event_time, i.body ->> 'symbol' AS symbol, i.side,
    i.quantity, count(*) OVER () AS of
FROM decisions d JOIN intents i USING (intent_id)
WHERE d.account_id = :account AND NOT d.approved AND i.event_time >= :begins AND i.event_time < :ends
  AND (CAST(:strategy AS text) IS NULL OR d.strategy_id = :strategy)
ORDER BY i.event_time DESC LIMIT :most
""")
_REASONS = sql("""
SELECT d.reason, count(*) AS denials FROM decisions d JOIN intents i USING (intent_id)
WHERE d.account_id = :account AND NOT d.approved AND i.event_time >= :begins AND i.event_time < :ends
  AND (CAST(:strategy AS text) IS NULL OR d.strategy_id = :strategy)
GROUP BY d.reason ORDER BY count(*) DESC, d.reason
""")
_STOPS = sql("""
SELECT event_time AS at, rule, detail, strategy_id, scope, count(*) OVER () AS of FROM risk_events
WHERE (account_id = :account OR (account_id = '' AND (strategy_id = '' OR strategy_id IN (
        SELECT strategy_id FROM intents WHERE account_id = :account))))
  AND ingest_time >= :begun AND ingest_time < :over
  AND breach_id NOT IN (SELECT decision_id FROM decisions WHERE account_id = :account)
  AND (CAST(:strategy AS text) IS NULL OR strategy_id IN ('', :strategy)) ORDER BY ingest_time LIMIT :most
""")
_TROUBLED = sql("""
SELECT e.event_time AS at, e.status, e.order_id, e.body ->> 'reason' AS reason, e.body ->> 'symbol' AS symbol,
    e.body ->> 'strategy_id' AS strategy_id, count(*) OVER () AS of
FROM order_events e JOIN orders o USING (order_id)
WHERE o.account_id = :account AND e.event_time >= :begins AND e.event_time < :ends
  AND (e.status IN ('UNKNOWN', 'REJECTED') OR e.body ->> 'reason' LIKE 'it was filled after%' OR
       (e.status = 'EXPIRED' AND o.broker_order_id IS NULL))
  AND (CAST(:strategy AS text) IS NULL OR o.strategy_id = :strategy) ORDER BY e.event_time LIMIT :most
""")
_REVISED = sql("""
SELECT f.event_time AS at, f.type, f.execution_id, f.revision, coalesce(f.symbol, o.symbol, '') AS symbol,
    coalesce(nullif(f.strategy_id, ''), o.strategy_id, '') AS strategy_id, count(*) OVER () AS of
FROM fills f LEFT JOIN fills o ON o.execution_id = f.execution_id AND o.revision = 1
WHERE f.account_id = :account AND f.type <> 'Fill' AND f.event_time >= :begins AND f.event_time < :ends
  AND (CAST(:strategy AS text) IS NULL OR coalesce(nullif(f.strategy_id, ''), o.strategy_id) = :strategy)
ORDER BY f.event_time, f.revision LIMIT :most
""")
_LINKS = sql("""
SELECT received_at AS at, body ->> 'code' AS code, body ->> 'text' AS text, count(*) OVER () AS of
FROM broker_events
WHERE account_id = :account AND kind = 'BrokerError' AND received_at >= :begun AND received_at < :over
  AND body ->> 'code' IN ('1100', '1101', '1102', '1300', '2103', '2105', '2110') ORDER BY event_id LIMIT :most
""")
_STATEMENTS = {
    "trades": _TRADES,
    "orders": _ORDERS,
    "denials": _DENIALS,
    "reasons": _REASONS,
    "stops": _STOPS,
    "troubled": _TROUBLED,
    "revised": _REVISED,
    "links": _LINKS,
}


async def happened(connection: AsyncConnection, wanted: Wanted, wall: tuple[datetime, datetime]) -> dict[str, Rows]:
    """Each list by its name; `wall` is when the day began and ended in wall time.

    All orders are there, since what they cost is summed; of the others so many rows as a report lists, each of which
    says how many there are `of` its kind.
    """
    begun, over = wall
    values: dict[str, Any] = {**wanted.values, "begun": begun, "over": over}
    found = {}
    for name, statement in _STATEMENTS.items():
        given = {each: values[each] for each in statement.compile().params}
        found[name] = (await connection.execute(statement, given)).mappings().all()
    return found
