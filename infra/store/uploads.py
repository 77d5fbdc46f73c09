"""Uploaded strategies in the database: a new version is a new row, nothing is ever overwritten."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import RowMapping, Select, Text, and_, desc, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.questions import Compiled, Question, as_json, place
from infra.store.tables import uploaded_versions, uploads

LISTED_MAX = 1000

_v, _u = uploaded_versions.c, uploads.c
_SHOWN = (
    _u.name, _u.owner, _u.deleted_at, _v.version, _v.code_sha256, _v.uploaded_by, _v.uploaded_at, _v.description,
    _v.parameters, _v.parameter_schema, _v.unread,
)  # fmt: skip


@dataclass(frozen=True)
class NewVersion:
    """A text as it comes in, with what the sandbox read out of it."""

    name: str
    code_sha256: str
    source: bytes
    uploaded_by: str
    uploaded_at: datetime
    description: str
    parameters: dict[str, Any]
    parameter_schema: dict[str, Any]
    unread: str


def _versions(*more: Any) -> Select[Any]:
    return select(*_SHOWN, *more).join_from(uploads, uploaded_versions, _u.name == _v.name)


def _newest(*more: Any) -> Select[Any]:
    last = select(func.max(_v.version)).where(_v.name == _u.name).correlate(uploads).scalar_subquery()
    return _versions(*more).where(_v.version == last)


async def listed(connection: AsyncConnection) -> list[RowMapping]:
    """The newest version of every name that was not deleted, by name."""
    statement = _newest().where(_u.deleted_at.is_(None)).order_by(_u.name).limit(LISTED_MAX)
    return list((await connection.execute(statement)).mappings())


def listing(fields: tuple[str, ...], why_not_run: str | None) -> Question:
    """The same as they are shown: without the schemas of their parameters."""
    return _listing(fields).ask(why_not_run=why_not_run)


@cache
def _listing(fields: tuple[str, ...]) -> Compiled:
    found = _newest(literal("uploaded").label("origin"), place("why_not_run", Text).label("why_not_run"))
    brief = [column for column in found.selected_columns if column.name != "parameter_schema"]
    named = found.with_only_columns(*brief).where(_u.deleted_at.is_(None)).order_by(_u.name).limit(LISTED_MAX)
    return as_json(named, fields)


async def newest(connection: AsyncConnection, name: str) -> RowMapping | None:
    """The newest version of a name, also of a deleted one."""
    found: RowMapping | None = (await connection.execute(_newest().where(_u.name == name))).mappings().first()
    return found


async def versions(connection: AsyncConnection, name: str) -> list[RowMapping]:
    """All versions, the newest first."""
    statement = _versions().where(_u.name == name).order_by(desc(_v.version)).limit(LISTED_MAX)
    return list((await connection.execute(statement)).mappings())


async def version(connection: AsyncConnection, name: str, number: int) -> RowMapping | None:
    """One version with its text."""
    statement = _versions(_v.source).where(and_(_u.name == name, _v.version == number))
    found: RowMapping | None = (await connection.execute(statement)).mappings().first()
    return found


async def source_of(connection: AsyncConnection, name: str, code_sha256: str) -> bytes | None:
    """The text of a name that has this hash, deleted or not."""
    statement = select(_v.source).where(and_(_v.name == name, _v.code_sha256 == code_sha256)).limit(1)
    found: bytes | None = (await connection.execute(statement)).scalar_one_or_none()
    return found


async def count_of(connection: AsyncConnection, owner: str) -> int:
    """How many names an owner has, deleted ones too."""
    statement = select(func.count()).select_from(uploads).where(_u.owner == owner)
    return int((await connection.execute(statement)).scalar_one())


async def hold(connection: AsyncConnection, name: str, owner: str, now: datetime) -> str:
    """Hold a name until the transaction ends, a new one for `owner`; returns whose it is."""
    new = insert(uploads).values(name=name, owner=owner, created_at=now).on_conflict_do_nothing()
    await connection.execute(new)
    found = await connection.execute(select(_u.owner).where(_u.name == name).with_for_update())
    return str(found.scalar_one())


async def set_deleted(connection: AsyncConnection, name: str, when: datetime | None) -> None:
    """Delete a name, or with None bring it back; its versions stay."""
    await connection.execute(update(uploads).where(_u.name == name).values(deleted_at=when))


async def add_version(connection: AsyncConnection, new: NewVersion) -> int:
    """Keep a text under a name that is held, and return its number."""
    last = select(func.coalesce(func.max(_v.version), 0)).where(_v.name == new.name)
    number = int((await connection.execute(last)).scalar_one()) + 1
    await connection.execute(insert(uploaded_versions).values(vars(new) | {"version": number}))
    return number
