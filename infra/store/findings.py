"""Findings about market data, read: who looks at quarantine, one page or one finding at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.tables import quarantine


@dataclass(frozen=True)
class Findings:
    """Which findings; None: any."""

    contract_id: int | None = None
    rule: str | None = None
    severity: str | None = None
    is_open: bool | None = None
    """Whether nobody has decided yet."""
    waits: bool = False
    """Only those that a person should decide: what is kept out, and jumps like splits that no split explains."""

    def of(self, statement: Select[Any]) -> Select[Any]:
        return statement.where(*self._conditions())

    def _conditions(self) -> list[ColumnElement[bool]]:
        wanted = {"contract_id": self.contract_id, "rule": self.rule, "severity": self.severity}
        found: list[ColumnElement[bool]] = [quarantine.c.rule.is_not(None)]
        found += [quarantine.c[name] == value for name, value in wanted.items() if value is not None]
        if self.is_open is not None:
            undecided = quarantine.c.resolution.is_(None)
            found.append(undecided if self.is_open else ~undecided)
        if self.waits:
            is_for_people = (quarantine.c.severity == "error") | (quarantine.c.rule == "split_like")
            found.append(is_for_people & quarantine.c.resolution.is_(None))
        return found


async def finding_page(
    connection: AsyncConnection, wanted: Findings, limit: int, offset: int = 0
) -> Sequence[RowMapping]:
    """The latest first; one more than `limit` is read."""
    latest = (quarantine.c.ingest_time.desc(), quarantine.c.quarantine_id)
    statement = wanted.of(select(quarantine)).order_by(*latest).limit(limit + 1).offset(offset)
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows


async def finding(connection: AsyncConnection, quarantine_id: str) -> RowMapping | None:
    statement = select(quarantine).where(quarantine.c.quarantine_id == quarantine_id)
    row: RowMapping | None = (await connection.execute(statement)).mappings().first()
    return row


async def finding_counts(connection: AsyncConnection) -> Sequence[RowMapping]:
    """How many there are of each rule, and how many of them nobody has decided."""
    undecided = func.count().filter(quarantine.c.resolution.is_(None)).label("undecided")
    statement = Findings().of(
        select(quarantine.c.rule, quarantine.c.severity, func.count().label("findings"), undecided)
    )
    grouped = statement.group_by(quarantine.c.rule, quarantine.c.severity).order_by(quarantine.c.rule)
    rows: Sequence[RowMapping] = (await connection.execute(grouped)).mappings().all()
    return rows


async def spans_kept_out(
    connection: AsyncConnection, contract_id: int, first: datetime, last: datetime
) -> Sequence[RowMapping]:
    """Rule, record and end of what is kept out, or was not answered, between two moments; rejected ones too."""
    statement = select(quarantine.c.rule, quarantine.c.record, quarantine.c.event_time).where(
        quarantine.c.contract_id == contract_id,
        quarantine.c.event_time >= first,
        (quarantine.c.severity == "error") | (quarantine.c.rule == "empty_answer"),
        quarantine.c.resolution.is_distinct_from("released"),
    )
    bounded = statement.where(quarantine.c.event_time <= last).order_by(quarantine.c.event_time).limit(10_000)
    rows: Sequence[RowMapping] = (await connection.execute(bounded)).mappings().all()
    return rows
