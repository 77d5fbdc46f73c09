"""What the figures of a day are made of, read from the tables: executions, prices, what the broker tells."""

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

_FILLS = sql("SELECT * FROM fills WHERE account_id = :account ORDER BY event_time, execution_id")
_COMMISSIONS = sql("SELECT * FROM commissions WHERE account_id = :account")
# by the index, from one last bar to the next: reading every bar of a minute takes a second a contract and year
_CLOSES = sql("""
WITH RECURSIVE sizes AS (
    SELECT c.contract_id, (SELECT min(bar_size_seconds) FROM bars b WHERE b.contract_id = c.contract_id) AS size
    FROM unnest(CAST(:contracts AS bigint[])) AS c (contract_id)
    UNION ALL SELECT s.contract_id, (SELECT min(bar_size_seconds) FROM bars b
        WHERE b.contract_id = s.contract_id AND b.bar_size_seconds > s.size) FROM sizes s WHERE s.size IS NOT NULL
), known AS (
    SELECT contract_id, size, (CAST(:since AS timestamptz) AT TIME ZONE :zone)::date AS first_day, ((
        SELECT max(start) FROM bars b WHERE b.contract_id = s.contract_id AND b.bar_size_seconds = s.size
    ) + size * interval '1 second') AT TIME ZONE :zone AS last_end FROM sizes s WHERE size IS NOT NULL
), days AS (
    SELECT contract_id, size, first_day + n AS day, (first_day + n)::timestamp AT TIME ZONE :zone AS begins,
        (first_day + n + 1)::timestamp AT TIME ZONE :zone AS ends
    FROM known CROSS JOIN LATERAL generate_series(0, last_end::date - first_day) AS n
)
SELECT DISTINCT ON (d.contract_id, day) d.contract_id, day, close, end_time AS at FROM days d CROSS JOIN LATERAL (
    SELECT close, end_time, revision, ingest_time FROM bars b
    WHERE b.contract_id = d.contract_id AND b.bar_size_seconds = d.size AND price_kind = 'trades'
      AND basis = 'split_adjusted' AND start >= d.begins - d.size * interval '1 second' AND start < d.ends
      AND end_time >= d.begins AND end_time < d.ends
    ORDER BY start DESC, revision DESC, ingest_time DESC LIMIT 1
) newest ORDER BY d.contract_id, day, end_time DESC, size, revision DESC, ingest_time DESC
""")
_MARKS = sql("SELECT contract_id, price, event_time AS at FROM marks WHERE contract_id = ANY(:contracts)")
_ALL_TRADES = sql("""
SELECT t.contract_id, side, t.quantity, opened_at, closed_at, entry_price, exit_price, t.commission, net_pnl, currency
FROM trades t JOIN positions p USING (account_id, contract_id)
WHERE account_id = :account AND closed_at < :ends AND (CAST(:strategy AS text) IS NULL OR strategy_id = :strategy)
ORDER BY closed_at
""")
_COUNTS = sql("""
SELECT (SELECT count(*) FROM trades WHERE account_id = :account AND closed_at >= :begins AND closed_at < :ends
        AND (CAST(:strategy AS text) IS NULL OR strategy_id = :strategy)) AS trades,
    (SELECT count(*) FROM decisions d JOIN intents i USING (intent_id)
        WHERE d.account_id = :account AND NOT d.approved AND i.event_time >= :begins AND i.event_time < :ends
        AND (CAST(:strategy AS text) IS NULL OR d.strategy_id = :strategy)) AS denials
""")
_WALL = sql("""
SELECT greatest(
    least(max(w) FILTER (WHERE at < :begins AND ours), max(w) FILTER (WHERE at < :begins AND NOT ours)),
    min(w) FILTER (WHERE at >= :earlier AND at < :begins)) AS begun,
    min(w) FILTER (WHERE at >= :ends) AS over
FROM (
    SELECT event_time AS at, received_at AS w, true AS ours FROM intents WHERE account_id = :account
    UNION ALL SELECT event_time, ingest_time, false FROM fills WHERE account_id = :account AND type = 'Fill'
) news
""")
_ACCOUNT = sql("""
SELECT a.*, b.rates, b.told_at, s.mode, s.reason, s.by, s.event_time AS state_at FROM account_states a
LEFT JOIN book_accounts b USING (account_id) LEFT JOIN trading_state s ON s.scope = 'account:' || a.account_id
WHERE a.account_id = :account
""")
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
    SELECT event_time AS at FROM intents WHERE account_id = :account
    UNION ALL SELECT event_time FROM fills WHERE account_id = :account
) known WHERE CAST(:before AS timestamptz) IS NULL OR at < :before
""")


def day_of(account_id: str, day: date, strategy_id: str | None = None) -> Wanted:
    """A day by its date."""
    begins = datetime.combine(day, time(), ZONE)
    return Wanted(account_id, begins, datetime.combine(day + timedelta(days=1), time(), ZONE), strategy_id)


async def newest_day(connection: AsyncConnection, account_id: str, before: datetime | None = None) -> date | None:
    """The last day, in market time, on which anything was proposed or traded."""
    newest = await connection.scalar(_NEWEST, {"account": account_id, "before": before})
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


async def executions(connection: AsyncConnection, account_id: str) -> list[FillEvent]:
    """Everything that was ever told of executions."""
    values = {"account": account_id}
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


async def closes(connection: AsyncConnection, contracts: Sequence[int], since: datetime) -> Rows:
    """The last price of each contract on every day, from bars; a moment's price may be of some days before."""
    values = {"contracts": list(contracts), "since": since - _PRICE_DAYS, "zone": ZONE.key}
    return (await connection.execute(_CLOSES, values)).mappings().all()


async def marks(connection: AsyncConnection, contracts: Sequence[int]) -> Rows:
    """The newest prices that risk has seen."""
    return (await connection.execute(_MARKS, {"contracts": list(contracts)})).mappings().all()


async def account(connection: AsyncConnection, account_id: str) -> RowMapping | None:
    """What the broker has told last, and whether the account may trade."""
    return (await connection.execute(_ACCOUNT, {"account": account_id})).mappings().first()


async def round_trips(connection: AsyncConnection, wanted: Wanted) -> Rows:
    """All that ended before the day's end."""
    values = {name: wanted.values[name] for name in ("account", "strategy", "ends")}
    return (await connection.execute(_ALL_TRADES, values)).mappings().all()


async def counts(connection: AsyncConnection, wanted: Wanted) -> RowMapping:
    """How many round trips ended on the day, and how much was denied."""
    values = {name: wanted.values[name] for name in ("account", "strategy", "begins", "ends")}
    return (await connection.execute(_COUNTS, values)).mappings().one()


@dataclass(frozen=True)
class Wall:
    """A day in wall time."""

    begun: datetime
    over: datetime | None
    """When the first news of a later day came; none yet: the day goes on."""


async def wall(connection: AsyncConnection, wanted: Wanted) -> Wall:
    """What only has a wall time belongs to the day from the last news of an earlier one on, until the first of a later.

    What happened between two days is of both, since a report is made when its day's trading is over: told twice is
    better than never. An execution may be told long after it happened, hence the last intent counts, too.
    """
    earlier = await newest_day(connection, wanted.account_id, wanted.begins)
    values = {name: wanted.values[name] for name in ("account", "begins", "ends")}
    values["earlier"] = day_of(wanted.account_id, earlier).begins if earlier is not None else wanted.begins
    row = (await connection.execute(_WALL, values)).mappings().one()
    return Wall(row["begun"] or wanted.begins, row["over"])
