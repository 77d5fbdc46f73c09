"""Pages of what is traded, as the HTTP services show them: questions whose rows PostgreSQL writes as JSON."""

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, case, exists, select

from infra.store.queries import FINAL_STATUSES, Slice
from infra.store.questions import Compiled, Question, as_json, paged, place
from infra.store.tables import commissions, fills, orders, positions, trading_state
from schemas.order_words import OrderType

_STATES_MAX = 1000

_OLDER_WORDS = {word: OrderType(word).value for word in ("MARKET", "LIMIT")}
_ORDER_TYPE = case(_OLDER_WORDS, value=orders.c.order_type, else_=orders.c.order_type).label("order_type")
"""Orders that were stored before types had IB's words are told in these, too."""

Fields = tuple[str, ...]
"""Names of what each row tells."""


def order_page(part: Slice, fields: Fields, *, working: bool | None = None, **wanted: str | None) -> Question:
    """Orders, the newest first; `wanted`: values of columns."""
    given = _given(wanted)
    return _orders(fields, working, tuple(given)).ask(**part.values, **given)


@cache
def _orders(fields: Fields, working: bool | None, given: Fields) -> Compiled:
    told = [column for column in orders.c if column.name != "order_type"]
    statement = select(*told, _ORDER_TYPE).order_by(orders.c.created_at.desc(), orders.c.order_id)
    if working is not None:
        final = orders.c.status.in_(FINAL_STATUSES)
        statement = statement.where(~final if working else final)
    return as_json(paged(_narrowed(statement, orders, given)), fields)


def fill_page(part: Slice, fields: Fields, **wanted: str | None) -> Question:
    """Executions that count, the latest first: of each its newest revision, unless that busted it."""
    given = _given(wanted)
    return _fills(fields, tuple(given)).ask(**part.values, **given)


@cache
def _fills(fields: Fields, given: Fields) -> Compiled:
    newer = fills.alias("newer")
    overtaken = exists().where(newer.c.execution_id == fills.c.execution_id, newer.c.revision > fills.c.revision)
    cost = _newest_commission(commissions.c.amount).label("commission")
    currency = _newest_commission(commissions.c.currency).label("commission_currency")
    statement = select(fills, cost, currency).where(~overtaken, fills.c.type != "FillBusted")
    latest = statement.order_by(fills.c.event_time.desc(), fills.c.execution_id)
    return as_json(paged(_narrowed(latest, fills, given)), fields)


def _newest_commission(column: ColumnElement[Any]) -> ColumnElement[Any]:
    newest = select(column).where(commissions.c.execution_id == fills.c.execution_id)
    return newest.order_by(commissions.c.revision.desc()).limit(1).scalar_subquery()


def position_page(part: Slice, fields: Fields, *, open_only: bool = True, **wanted: str | None) -> Question:
    """Positions by account and symbol."""
    given = _given(wanted)
    return _positions(fields, open_only, tuple(given)).ask(**part.values, **given)


@cache
def _positions(fields: Fields, open_only: bool, given: Fields) -> Compiled:
    statement = select(positions).order_by(positions.c.account_id, positions.c.symbol, positions.c.contract_id)
    if open_only:
        statement = statement.where(positions.c.quantity != 0)
    return as_json(paged(_narrowed(statement, positions, given)), fields)


def trading_states(fields: Fields) -> Question:
    """The state that risk holds for each scope."""
    return _trading_states(fields).ask()


@cache
def _trading_states(fields: Fields) -> Compiled:
    return as_json(select(trading_state).order_by(trading_state.c.scope).limit(_STATES_MAX), fields)


def _given(wanted: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if value is not None}


def _narrowed(statement: Select[Any], table: Table, given: Fields) -> Select[Any]:
    return statement.where(*(table.c[name] == place(name) for name in given))
