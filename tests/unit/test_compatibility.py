"""What the comparison of two schemas refuses and what it lets pass."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter, create_model

from infra.compatibility import OLD_READERS, OLD_RECORDS, breaks


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class LongerSide(StrEnum):
    BUY = "BUY"
    SELL = "SELL"
    SHORT = "SHORT"


class Inner(BaseModel):
    depth: int


class InnerWithMore(BaseModel):
    depth: int
    width: int


class Opened(BaseModel):
    type: Literal["Opened"] = "Opened"
    at: int


class OpenedByName(BaseModel):
    type: Literal["Opened"] = "Opened"
    at: str


class Closed(BaseModel):
    type: Literal["Closed"] = "Closed"


class Moved(BaseModel):
    type: Literal["Moved"] = "Moved"


def schema(**fields: Any) -> dict[str, Any]:
    """The schema of a model of these fields: an annotation, or (annotation, default)."""
    definitions: dict[str, Any] = {name: f if isinstance(f, tuple) else (f, ...) for name, f in fields.items()}
    model: type[BaseModel] = create_model("Order", **definitions)
    return model.model_json_schema(mode="serialization")


def union(of: Any) -> dict[str, Any]:
    return TypeAdapter(Annotated[of, Field(discriminator="type")]).json_schema(mode="serialization")


def test_the_same_schema_is_compatible() -> None:
    assert breaks(schema(a=int, b=Side, c=list[Inner]), schema(a=int, b=Side, c=list[Inner])) == []


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(lambda: schema(quantity=int, note=(str, "")), id="a new field with a default"),
        pytest.param(lambda: schema(quantity=int, tags=(list[str], Field(default_factory=list))), id="a drawn default"),
        pytest.param(lambda: schema(quantity=(int, Field(description="Shares."))), id="other words about a field"),
        pytest.param(lambda: schema(quantity=(int, Field(title="Size"))), id="another title"),
    ],
)
def test_it_lets_pass(after: Callable[[], dict[str, Any]]) -> None:
    assert breaks(schema(quantity=int), after()) == []


@pytest.mark.parametrize(
    ("before", "after", "where", "who"),
    [
        pytest.param({"a": int}, {"a": int, "b": int}, "Order.b", OLD_RECORDS, id="a new field without default"),
        pytest.param({"a": int, "b": (int, 0)}, {"a": int}, "Order.b", OLD_READERS, id="a removed field"),
        pytest.param({"a": (int, 0)}, {"a": int}, "Order.a", OLD_RECORDS, id="a field that is required now"),
        pytest.param({"a": int}, {"a": (int, 0)}, "Order.a", OLD_READERS, id="a field that may be missing now"),
        pytest.param({"a": float}, {"a": int}, "Order.a", OLD_RECORDS, id="a narrowed type"),
        pytest.param({"a": int}, {"a": float}, "Order.a", OLD_READERS, id="a widened type"),
        pytest.param({"a": str}, {"a": int}, "Order.a", OLD_RECORDS, id="another type"),
        pytest.param({"a": LongerSide}, {"a": Side}, "Order.a", OLD_RECORDS, id="a removed word of a list"),
        pytest.param({"a": Side}, {"a": LongerSide}, "Order.a", OLD_READERS, id="a new word of a list"),
        pytest.param({"a": str}, {"a": Side}, "Order.a", OLD_RECORDS, id="free text that became a list of words"),
        pytest.param({"a": int | None}, {"a": int}, "Order.a", OLD_RECORDS, id="null no longer allowed"),
        pytest.param({"a": int}, {"a": int | None}, "Order.a", OLD_READERS, id="null allowed now"),
        pytest.param(
            {"a": Annotated[int, Field(ge=0)]}, {"a": Annotated[int, Field(ge=1)]}, "Order.a", OLD_RECORDS, id="tighter"
        ),
        pytest.param(
            {"a": Annotated[int, Field(le=9)]}, {"a": Annotated[int, Field(le=5)]}, "Order.a", OLD_RECORDS, id="lower"
        ),
        pytest.param(
            {"a": Annotated[str, Field(max_length=5)]}, {"a": str}, "Order.a", OLD_READERS, id="a bound that went away"
        ),
        pytest.param(
            {"a": Annotated[str, Field(pattern="^a$")]},
            {"a": Annotated[str, Field(pattern="^b$")]},
            "Order.a",
            OLD_RECORDS,
            id="another pattern",
        ),
        pytest.param({"a": list[int]}, {"a": list[str]}, "Order.a[]", OLD_RECORDS, id="other elements"),
        pytest.param({"a": tuple[int, str]}, {"a": tuple[int, int]}, "Order.a[1]", OLD_RECORDS, id="another place"),
        pytest.param({"a": dict[str, int]}, {"a": dict[str, str]}, "Order.a[]", OLD_RECORDS, id="other values"),
    ],
)
def test_it_refuses(before: dict[str, Any], after: dict[str, Any], where: str, who: str) -> None:
    found = breaks(schema(**before), schema(**after))

    assert [(each.where, each.who) for each in found] == [(where, who)]


def test_a_renamed_field_is_one_removed_and_one_without_default() -> None:
    found = breaks(schema(quantity=int), schema(size=int))

    assert [str(each) for each in found] == [
        f"Order.quantity: the field was removed or renamed; {OLD_READERS}",
        f"Order.size: the new field has no default; {OLD_RECORDS}",
    ]


def test_a_change_deep_inside_a_carried_event_is_found() -> None:
    found = breaks(schema(inner=list[Inner]), schema(inner=list[InnerWithMore]))

    assert [each.where for each in found] == ["Order.inner[].width"]


@pytest.mark.parametrize(
    ("before", "after", "what", "who"),
    [
        pytest.param(Opened | Closed, Opened | Moved, "Closed is no longer allowed", OLD_RECORDS, id="replaced"),
        pytest.param(Opened | Closed, Opened | Closed | Moved, "Moved is allowed now", OLD_READERS, id="gained"),
        pytest.param(
            Opened | Closed, OpenedByName | Closed, "type changed from 'integer' to 'string'", OLD_RECORDS, id="changed"
        ),
    ],
)
def test_a_family_may_not_lose_gain_or_change_an_event(before: Any, after: Any, what: str, who: str) -> None:
    assert (what, who) in [(each.what, each.who) for each in breaks(union(before), union(after))]


def test_another_key_breaks_order_and_compaction() -> None:
    (found,) = breaks(schema(a=int) | {"x-key": ["a"]}, schema(a=int) | {"x-key": ["b"]})

    assert "key changed" in found.what
