"""All tables, and which service writes each of them."""

from types import MappingProxyType

from infra.store.columns_of_tables import metadata
from infra.store.market_tables import (
    FIRST_YEAR,
    LAST_YEAR,
    backtest_jobs,
    bars,
    collection_outcomes,
    collection_runs,
    corporate_actions,
    live_strategies,
    quarantine,
    removals,
    sessions,
    signals,
    strategies,
    symbols,
    trials,
)
from infra.store.order_tables import (
    account_states,
    broker_events,
    commissions,
    fills,
    order_events,
    order_ids,
    orders,
    position_history,
    positions,
    trades,
)
from infra.store.platform_tables import api_keys, audit_log, inbox, leases, outbox
from infra.store.research_tables import optimizations
from infra.store.risk_tables import (
    acknowledgements,
    book_accounts,
    book_executions,
    book_holdings,
    book_positions,
    book_trips,
    books,
    decisions,
    intents,
    marks,
    reservations,
    restrictions,
    risk_events,
    risk_limits,
    trading_state,
)
from infra.store.upload_tables import uploaded_versions, uploads

EVERY_SERVICE = "*"
"""Rows of such a table carry their owner: each service writes its own."""

_TABLES_OF = {
    "persister": (
        backtest_jobs,
        bars,
        collection_outcomes,
        collection_runs,
        corporate_actions,
        live_strategies,
        optimizations,
        quarantine,
        removals,
        sessions,
        signals,
        strategies,
        symbols,
        trials,
    ),
    "risk": (
        book_accounts,
        book_executions,
        book_holdings,
        book_positions,
        book_trips,
        books,
        decisions,
        intents,
        marks,
        reservations,
        restrictions,
        risk_events,
        risk_limits,
        trading_state,
    ),
    "executor": (account_states, broker_events, commissions, fills, order_events, order_ids, orders),
    "portfolio": (position_history, positions, trades),
    "api": (acknowledgements, api_keys, uploaded_versions, uploads),
    EVERY_SERVICE: (audit_log, inbox, leases, outbox),
}

WRITERS = MappingProxyType({table.name: service for service, owned in _TABLES_OF.items() for table in owned})
"""Table -> the one service that writes it (`api`: the HTTP services)."""

REBUILT_FROM_TOPICS = _TABLES_OF["persister"]
"""What `scizor db rebuild` empties and fills again."""

__all__ = [
    "EVERY_SERVICE",
    "FIRST_YEAR",
    "LAST_YEAR",
    "REBUILT_FROM_TOPICS",
    "WRITERS",
    "account_states",
    "acknowledgements",
    "api_keys",
    "audit_log",
    "backtest_jobs",
    "bars",
    "book_accounts",
    "book_executions",
    "book_holdings",
    "book_positions",
    "book_trips",
    "books",
    "broker_events",
    "collection_outcomes",
    "collection_runs",
    "commissions",
    "corporate_actions",
    "decisions",
    "fills",
    "inbox",
    "intents",
    "leases",
    "live_strategies",
    "marks",
    "metadata",
    "optimizations",
    "order_events",
    "order_ids",
    "orders",
    "outbox",
    "position_history",
    "positions",
    "quarantine",
    "removals",
    "reservations",
    "restrictions",
    "risk_events",
    "risk_limits",
    "sessions",
    "signals",
    "strategies",
    "symbols",
    "trades",
    "trading_state",
    "trials",
    "uploaded_versions",
    "uploads",
]
