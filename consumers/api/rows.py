"""Answers made of rows as they are stored: what was judged when it came in is not judged again on its way out.

That they are as the models of the routes declare is what schemathesis looks at.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import orjson
from pydantic import BaseModel
from sqlalchemy import RowMapping
from starlette.responses import Response

from infra.store.columns_of_tables import plain


def answer(content: Any) -> Response:
    """JSON: times as RFC 3339 in UTC, decimals as text without needless zeros."""
    return Response(orjson.dumps(content, _text, orjson.OPT_UTC_Z), media_type="application/json")


def picked(model: type[BaseModel], row: Mapping[str, Any] | RowMapping, **more: Any) -> dict[str, Any]:
    """The model's fields out of a row, null where the row has none; `more` comes before the row."""
    known = {**row, **more}
    names = fields(model)
    return dict(zip(names, map(known.get, names), strict=True))


@cache
def fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The names of what the model tells."""
    return tuple(model.model_fields)


def told(texts: Sequence[str]) -> list[orjson.Fragment]:
    """Rows that PostgreSQL has written as JSON, as they are."""
    return [orjson.Fragment(text) for text in texts]


def page(items: Sequence[Any], limit: int, offset: int, **more: Any) -> Response:
    """A page of rows of which one more than `limit` was asked for."""
    following = offset + limit if len(items) > limit else None
    return answer({"items": items[:limit], "next_offset": following, **more})


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{plain(value):f}"
    raise TypeError(f"{type(value).__name__} has no JSON")
