"""Rows as JSON that PostgreSQL writes, and statements that are compiled once and go to the driver without a detour.

What the HTTP services show is stored already: no value of it has to become an object of ours on its way out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BindParameter,
    ColumnElement,
    DateTime,
    Integer,
    Numeric,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.store import connection

_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy's own
_OFFSET: ColumnElement[str] = literal_column("'+00:00'")
_ZULU: ColumnElement[str] = literal_column("'Z'")


@dataclass(frozen=True)
class Question:
    """A statement and its values, as the driver takes them."""

    text: str
    values: Sequence[Any]


async def ask(engine: AsyncEngine, question: Question) -> Any:
    """The one row of the answer, as the driver gives it; a transaction of its own.

    Raises StoreUnavailableError when it is worth trying again.
    """
    try:
        held = await engine.raw_connection()
        try:
            driver: Any = held.driver_connection
            return await driver.fetchrow(question.text, *question.values)
        finally:
            held.close()
    except connection.WORLD as error:
        if (meaning := connection.understood(error, engine.url)) is not None:
            raise meaning from error
        raise


def place(name: str, kind: Any = None) -> BindParameter[Any]:
    """Where a value of this name will be."""
    return bindparam(name, type_=kind, required=False)


def paged(statement: Select[Any]) -> Select[Any]:
    """With places for `limit` and `offset`."""
    return statement.limit(place("limit", Integer)).offset(place("offset", Integer))


class Compiled:
    """A statement whose places get their values later, again and again."""

    def __init__(self, statement: Select[Any]) -> None:
        made = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        self._text = str(made)
        self._places: Sequence[str] = made.positiontup or ()
        self._fixed = made.params

    def ask(self, **values: Any) -> Question:
        known = self._fixed | values
        return Question(self._text, [known[name] for name in self._places])


def as_json(rows: Select[Any], fields: Sequence[str], beside: Sequence[str] = ()) -> Compiled:
    """One row of arrays: `json`, for each of `rows` the text of an object of `fields`; and columns `beside` it.

    In one row they come in one piece; several would wake the reader for every few. A field is null where `rows` have
    none of the name. Times are RFC 3339 in UTC; decimals, which are no floats, are text without needless zeros.
    """
    page = rows.subquery("page")
    told = select(*(_told(page.c.get(name)).label(name) for name in fields)).correlate(page).lateral("told")
    json = cast(func.row_to_json(literal_column("told")), Text)
    arrays = {"json": json, **{name: page.c[name] for name in beside}}
    # an array of a sorted subquery is in its order: https://www.postgresql.org/docs/current/functions-aggregate.html
    found: list[Any] = [_gathered(each).label(name) for name, each in arrays.items()]
    return Compiled(select(*found).select_from(page).join(told, true()))


def _gathered(column: ColumnElement[Any]) -> ColumnElement[Any]:
    none: ColumnElement[Any] = cast([], ARRAY(column.type))
    return func.coalesce(func.array_agg(column), none)


def _told(column: ColumnElement[Any] | None) -> ColumnElement[Any]:
    if column is None:
        return null()
    if isinstance(column.type, DateTime):  # sessions of ours are in UTC
        return cast(func.replace(cast(func.to_json(column), Text), _OFFSET, _ZULU), JSON)
    if isinstance(column.type, Numeric) and column.type.asdecimal:
        return cast(func.trim_scale(column), Text)
    return column
