"""Contracts whose data were cleared away: what was first seen before that no longer counts, wherever it is read."""

from collections.abc import Mapping, Sequence

import polars as pl

from infra.delivery import MalformedRecordError, Record, parse
from infra.topics import TopicSpec
from schemas.moments import to_microseconds
from schemas.validation import SymbolRemoved

REMOVALS = "reference.removals.v1"

Removals = Mapping[int, SymbolRemoved]
"""The last removal of each contract."""


def read_removals(topic: TopicSpec, records: Sequence[Record]) -> dict[int, SymbolRemoved]:
    """Those of some records, the last of each contract; one that cannot be parsed is set aside by the persister."""
    found = {}
    for record in records:
        try:
            event = parse(topic, record)
        except MalformedRecordError:
            continue
        assert isinstance(event, SymbolRemoved)
        found[event.contract_id] = event
    return found


def counts(removed: Removals) -> pl.Expr:
    """Of columns of bars: whether the bar was first seen after the removal of its contract."""
    moments = {contract_id: to_microseconds(event.event_time) for contract_id, event in removed.items()}
    if not moments:
        return pl.lit(True)
    until = pl.col("contract_id").replace_strict(moments, default=None, return_dtype=pl.Int64())
    return until.is_null() | (pl.col("ingest_us") > until)
