"""What the report of a day is made of, read from the tables: executions, prices, orders, denials, what went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import RowMapping
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.orders import Commission, Fill, FillBusted, FillCorrected, FillEvent

ZONE = ZoneInfo("America/New_York")
"""IBKR's account day, that of risk, too, goes from midnight to midnight there."""
ROWS_MAX = 500
"""Of each list in a report; how many there were is counted apart."""
_PRICE_DAYS = timedelta(days=10)

_FILLS = sql("SELECT * FROM fills WHERE account_id = :account AND event_time < :ends ORDER BY event_time, execution_id")
_COMMISSIONS = sql("SELECT * FROM commissions WHERE account_id = :account AND event_time < :ends")
_CLOSES = sql("""
SELECT DISTINCT ON (contract_id, day) contract_id, (end_time AT TIME ZONE :zone)::date AS day, close, end_time AS at
FROM bars WHERE contract_id = ANY(:contracts) AND price_kind = 'trades' AND start >= :since AND end_time <= :until
ORDER BY contract_id, day, end_time DESC, bar_size_seconds, revision DESC, ingest_time DESC
""")
_MARKS = sql("SELECT contract_id, price, event_time AS at FROM marks WHERE contract_id = ANY(:contracts)")
_TRADES = sql("""
SELECT t.*, count(*) OVER () AS of FROM trades t
WHERE account_id = :account AND closed_at >= :begins AND closed_at < :ends
  AND (CAST(:strategy AS text) IS NULL OR strategy_id = :strategy) ORDER BY closed_at LIMIT :most
""")
_ALL_TRADES = sql("""
SELECT t.contract_id, side, t.quantity, opened_at, closed_at, entry_price, exit_price, t.commission, net_pnl, currency
FROM trades t JOIN positions p USING (account_id, contract_id)
WHERE account_id = :account AND closed_at < :ends AND (CAST(:strategy AS text) IS NULL OR strategy_id = :strategy)
ORDER BY closed_at
""")
_ORDERS = sql("""
SELECT o.order_id, o.strategy_id, o.contract_id, o.symbol, o.side, o.status, o.quantity, o.cumulative_quantity,
    o.average_price, o.created_at, o.intent ->> 'currency' AS currency, o.intent ->> 'reference_price' AS decided,
    d.body -> 'basis' ->> 'price' AS seen, count(*) OVER () AS of
FROM orders o JOIN (
    SELECT order_id, max(event_time) AS last_at, min(event_time) AS first_at FROM order_events GROUP BY order_id
) e USING (order_id) LEFT JOIN decisions d ON d.decision_id = o.decision_id
WHERE o.account_id = :account AND e.last_at >= :begins AND e.last_at < :ends AND o.cumulative_quantity > 0
  AND o.decision_id IS NOT NULL AND o.intent IS NOT NULL
  AND (CAST(:strategy AS text) IS NULL OR o.strategy_id = :strategy)
ORDER BY o.created_at, o.order_id LIMIT :most
""")
_DENIALS = sql("""
SELECT d.reason, d.detail, d.intent_id, d.strategy_id, i.event_time, i.body ->> 'symbol' AS symbol, i.side,
    i.quantity, count(*) OVER () AS of, count(*) OVER (PARTITION BY d.reason) AS of_reason
FROM decisions d JOIN intents i USING (intent_id)
WHERE d.account_id = :account AND NOT d.approved AND i.event_time >= :begins AND i.event_time < :ends
  AND (CAST(:strategy AS text) IS NULL OR d.strategy_id = :strategy)
ORDER BY i.event_time DESC LIMIT :most
""")
_WALL = sql("""
SELECT min(w) FILTER (WHERE at >= :begins AND at < :ends) AS begun, min(w) FILTER (WHERE at >= :ends) AS over
FROM (
    SELECT event_time AS at, received_at AS w FROM intents WHERE account_id = :account
    UNION ALL SELECT event_time, ingest_time FROM fills WHERE account_id = :account
) known
""")
_STOPS = sql("""
SELECT event_time AS at, rule, detail, strategy_id, scope FROM risk_events
WHERE account_id = :account AND ingest_time >= :begun AND ingest_time < :over
  AND breach_id NOT IN (SELECT decision_id FROM decisions WHERE account_id = :account)
  AND (CAST(:strategy AS text) IS NULL OR strategy_id IN ('', :strategy)) ORDER BY ingest_time LIMIT :most
""")
_TROUBLED = sql("""
SELECT e.event_time AS at, e.status, e.order_id, e.body ->> 'reason' AS reason, e.body ->> 'symbol' AS symbol,
    e.body ->> 'strategy_id' AS strategy_id
FROM order_events e JOIN orders o USING (order_id)
WHERE o.account_id = :account AND e.event_time >= :begins AND e.event_time < :ends
  AND (e.status IN ('UNKNOWN', 'REJECTED') OR e.body ->> 'reason' LIKE 'it was filled after%' OR
       (e.status = 'EXPIRED' AND o.broker_order_id IS NULL))
  AND (CAST(:strategy AS text) IS NULL OR o.strategy_id = :strategy) ORDER BY e.event_time LIMIT :most
""")
_REVISED = sql("""
SELECT f.event_time AS at, f.type, f.execution_id, f.revision, coalesce(f.symbol, o.symbol, '') AS symbol,
    coalesce(nullif(f.strategy_id, ''), o.strategy_id, '') AS strategy_id
FROM fills f LEFT JOIN fills o ON o.execution_id = f.execution_id AND o.revision = 1
WHERE f.account_id = :account AND f.type <> 'Fill' AND f.event_time >= :begins AND f.event_time < :ends
  AND (CAST(:strategy AS text) IS NULL OR coalesce(nullif(f.strategy_id, ''), o.strategy_id) = :strategy)
ORDER BY f.event_time, f.revision LIMIT :most
""")
_LINKS = sql("""
SELECT received_at AS at, body ->> 'code' AS code, body ->> 'text' AS text FROM broker_events
WHERE account_id = :account AND kind = 'BrokerError' AND received_at >= :begun AND received_at < :over
  AND body ->> 'code' IN ('1100', '1101', '1102', '1300', '2103', '2105', '2110') ORDER BY event_id LIMIT :most
""")
_ACCOUNT = sql("""
SELECT a.*, b.rates, b.told_at, s.mode, s.reason, s.by, s.event_time AS state_at FROM account_states a
LEFT JOIN book_accounts b USING (account_id) LEFT JOIN trading_state s ON s.scope = 'account:' || a.account_id
WHERE a.account_id = :account
""")
_HELD = sql("SELECT contract_id, symbol, quantity FROM positions WHERE account_id = :account")
_ACCOUNTS = sql("SELECT account_id FROM account_states UNION SELECT account_id FROM positions ORDER BY 1")
_STRATEGIES = sql("""
SELECT strategy_id FROM intents WHERE account_id = :account AND event_time >= :begins AND event_time < :ends
UNION SELECT strategy_id FROM position_history
    WHERE account_id = :account AND event_time >= :begins AND event_time < :ends AND strategy_id <> ''
UNION SELECT strategy_id FROM (
    SELECT strategy_id FROM position_history WHERE account_id = :account AND event_time < :ends AND strategy_id <> ''
    GROUP BY strategy_id, contract_id HAVING sum(change) <> 0
) holding ORDER BY 1
""")
_TRADERS = sql(
    "SELECT strategy_id FROM intents WHERE account_id = :account UNION"
    " SELECT strategy_id FROM fills WHERE account_id = :account AND strategy_id <> '' ORDER BY 1"
)


@dataclass(frozen=True)
class Wanted:
    """Whose day, in market time; `strategy_id` None is the whole account."""

    account_id: str
    begins: datetime
    ends: datetime
    strategy_id: str | None = None

    @property
    def values(self) -> dict[str, Any]:
        named = {"account": self.account_id, "strategy": self.strategy_id}
        return {**named, "begins": self.begins, "ends": self.ends, "most": ROWS_MAX}


Rows = Sequence[RowMapping]
_NEWEST = sql("""
SELECT max(at) FROM (
    SELECT max(event_time) AS at FROM intents WHERE account_id = :account
    UNION ALL SELECT max(event_time) FROM fills WHERE account_id = :account
) known
""")


def day_of(account_id: str, day: date, strategy_id: str | None = None) -> Wanted:
    """A day by its date."""
    begins = datetime.combine(day, time(), ZONE)
    return Wanted(account_id, begins, datetime.combine(day + timedelta(days=1), time(), ZONE), strategy_id)


async def newest_day(connection: AsyncConnection, account_id: str) -> date | None:
    """The last day, in market time, on which anything was proposed or traded."""
    newest = await connection.scalar(_NEWEST, {"account": account_id})
    return None if newest is None else newest.astimezone(ZONE).date()


_MARKET_TIME = sql("SELECT event_time, received_at FROM marks ORDER BY received_at DESC LIMIT 1")
_EXCHANGES = sql("""
SELECT account_id, array_remove(array_agg(DISTINCT coalesce(nullif(s.contract ->> 'primary_exchange', ''), s.exchange)),
    NULL) AS names
FROM positions LEFT JOIN symbols s USING (contract_id) GROUP BY account_id
""")


async def market_time(connection: AsyncConnection, now: datetime) -> datetime | None:
    """What time it is at the market, from the newest price that risk has seen; None while there is none."""
    row = (await connection.execute(_MARKET_TIME)).first()
    return None if row is None else row.event_time + (now - row.received_at)


async def exchanges(connection: AsyncConnection) -> dict[str, list[str]]:
    """By account, where the contracts are listed that it has ever held."""
    return {row.account_id: list(row.names) for row in await connection.execute(_EXCHANGES)}


async def accounts(connection: AsyncConnection) -> list[str]:
    return list((await connection.execute(_ACCOUNTS)).scalars())


async def strategies(connection: AsyncConnection, wanted: Wanted) -> list[str]:
    """Those that proposed or traded something on the day, or held something at its end."""
    values = {name: wanted.values[name] for name in ("account", "begins", "ends")}
    return list((await connection.execute(_STRATEGIES, values)).scalars())


async def traders(connection: AsyncConnection, account_id: str) -> list[str]:
    """Every strategy that has ever proposed or traded anything."""
    return list((await connection.execute(_TRADERS, {"account": account_id})).scalars())


async def executions(connection: AsyncConnection, wanted: Wanted) -> list[FillEvent]:
    """Everything that was told of executions before the day's end."""
    values = {"account": wanted.account_id, "ends": wanted.ends}
    kinds: dict[str, type[Fill] | type[FillCorrected] | type[FillBusted]]
    kinds = {"Fill": Fill, "FillCorrected": FillCorrected, "FillBusted": FillBusted}
    found: list[FillEvent] = []
    for row in (await connection.execute(_FILLS, values)).mappings():
        kind = kinds[row["type"]]
        known = {name: value for name, value in row.items() if name in kind.model_fields and value is not None}
        found.append(kind.model_validate(known))
    charged = (await connection.execute(_COMMISSIONS, values)).mappings()
    fields = Commission.model_fields
    return [
        *found,
        *(Commission.model_validate({name: row[name] for name in row if name in fields}) for row in charged),
    ]


async def closes(connection: AsyncConnection, contracts: Sequence[int], between: tuple[datetime, datetime]) -> Rows:
    """The last price of each contract on every day, from bars that ended between two moments."""
    since, until = between
    values = {"contracts": list(contracts), "since": since - _PRICE_DAYS, "until": until, "zone": ZONE.key}
    return (await connection.execute(_CLOSES, values)).mappings().all()


async def marks(connection: AsyncConnection, contracts: Sequence[int]) -> Rows:
    """The newest prices that risk has seen."""
    return (await connection.execute(_MARKS, {"contracts": list(contracts)})).mappings().all()


async def account(connection: AsyncConnection, account_id: str) -> RowMapping | None:
    """What the broker has told last, and whether the account may trade."""
    return (await connection.execute(_ACCOUNT, {"account": account_id})).mappings().first()


async def held(connection: AsyncConnection, account_id: str) -> Rows:
    return (await connection.execute(_HELD, {"account": account_id})).mappings().all()


@dataclass(frozen=True)
class Happened:
    """Lists of a day; each row of the first three says how many there were `of` its kind."""

    trades: Rows
    orders: Rows
    denials: Rows
    stops: Rows
    troubled: Rows
    revised: Rows
    links: Rows
    ever_closed: Rows
    wall_end: datetime | None
    """When the first news of a later day came; none yet: the day goes on."""


LISTS = ("trades", "orders", "denials", "stops", "troubled", "revised", "links", "ever_closed")


async def happened(connection: AsyncConnection, wanted: Wanted, now: datetime) -> Happened:
    """All that happened to the account or the strategy on its day. What only has a wall time belongs to the day from
    its first news on, until the first news of a later day."""
    values = wanted.values

    async def rows(statement: Any, *names: str, **more: Any) -> Rows:
        given = {name: values[name] for name in ("account", *names)} | more
        return (await connection.execute(statement, given)).mappings().all()

    (wall,) = await rows(_WALL, "begins", "ends")
    during = {"begun": wall["begun"] or wanted.begins, "over": wall["over"] or now}
    of_day = ("strategy", "begins", "ends", "most")
    return Happened(
        trades=await rows(_TRADES, *of_day),
        orders=await rows(_ORDERS, *of_day),
        denials=await rows(_DENIALS, *of_day),
        stops=await rows(_STOPS, "strategy", "most", **during),
        troubled=await rows(_TROUBLED, *of_day),
        revised=await rows(_REVISED, *of_day),
        links=await rows(_LINKS, "most", **during),
        ever_closed=await rows(_ALL_TRADES, "strategy", "ends"),
        wall_end=wall["over"],
    )
