"""Decisions of before, written into risk's books again, with what was reserved by them."""

from sqlalchemy import Text, bindparam
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.book import ADD_DECISIONS, TOLD_DECISIONS, WHAT_FOLLOWS, Decided, told

_UNLESS_KNOWN = "ON CONFLICT DO NOTHING"
_ADD = sql(f"""
WITH told AS (
    SELECT * FROM {TOLD_DECISIONS}
), done AS (
    {ADD_DECISIONS.format(told="told")} {_UNLESS_KNOWN} RETURNING decision_id
), rows AS (
    SELECT told.* FROM told JOIN done USING (decision_id)
), {WHAT_FOLLOWS.format(if_known=_UNLESS_KNOWN)}
SELECT count(*) FROM done
""").bindparams(bindparam("account_id", type_=Text), bindparam("rows", type_=Text))


async def add_decision(connection: AsyncConnection, made: Decided) -> None:
    """Write a decision with its intent and what it reserved or denied; one that is known changes nothing."""
    await connection.execute(_ADD, told([made]))
