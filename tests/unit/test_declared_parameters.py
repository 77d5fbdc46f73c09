"""Parameters are looked at by a strategy's schema as by its code; a schema of a stranger does no harm."""

import enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from engine.declared_parameters import declared_config, declared_ranges
from engine.registry import names, strategy_class
from engine.strategy import ParameterError, StrategyConfig, searched


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Mine(StrategyConfig):
    fast: int = searched(10, "5:50:5", ge=1, le=5000)
    entry: float = Field(2.0, gt=0, lt=9)
    short: bool = False
    way: Literal["up", "down"] = "up"
    name: str = Field("a", max_length=3)
    limit: float | None = Field(None, ge=0)
    colour: Colour = Colour.RED
    even: int = Field(2, multiple_of=2)


def declared(config: type[StrategyConfig]) -> type[StrategyConfig]:
    found = declared_config(config.model_json_schema(), config().model_dump(mode="json"))
    assert found is not None
    return found


def said(config: type[StrategyConfig], parameters: dict[str, Any]) -> str:
    try:
        config.parse(parameters)
    except ParameterError as error:
        return str(error)
    return ""


GIVEN = [
    {},
    {"fast": 20, "short": True, "entry": 3, "limit": 4.5, "colour": "blue", "name": "abc", "even": 4},
    {"fast": "20", "short": "yes", "entry": "3.5", "limit": "1", "even": "8"},
    {"limit": None},
    {"fast": 0},
    {"fast": 5001},
    {"fast": 2.5},
    {"fast": "many"},
    {"entry": 0},
    {"entry": 9.0},
    {"entry": "nan"},
    {"short": "perhaps"},
    {"way": "sideways"},
    {"name": "abcd"},
    {"even": 3},
    {"fats": 3},
]


@pytest.mark.parametrize("parameters", GIVEN, ids=str)
def test_the_schema_says_what_the_code_says(parameters: dict[str, Any]) -> None:
    assert said(declared(Mine), parameters) == said(Mine, parameters)


def test_a_choice_by_name_and_one_that_may_be_missing_are_refused_too() -> None:
    assert "parameter colour='green'" in said(declared(Mine), {"colour": "green"})
    assert "parameter limit" in said(declared(Mine), {"limit": "much"})


@pytest.mark.parametrize("name", names())
def test_every_shipped_strategy_is_declared_whole(name: str) -> None:
    config = strategy_class(name).Config

    assert declared(config)().model_dump() == config().model_dump(mode="json")
    assert declared_ranges(config.model_json_schema()) == config.ranges()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "$ref", "anyOf", "enum", "const", "minimum", "multipleOf", "minLength", "search"])
            | st.text(max_size=4),
            inside,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(told=_JSON, value=_JSON)
def test_a_hostile_schema_refuses_or_takes_and_never_breaks(told: Any, value: Any) -> None:
    schema = {"properties": {"x": told}, "$defs": {"y": {"$ref": "#/$defs/y"}}}
    declared_ranges(schema)
    if (found := declared_config(schema, {"x": 1})) is not None:
        said(found, {"x": value})


@pytest.mark.parametrize("name", ["parse", "model_config", "_hidden", "copy", "no name"])
def test_names_that_a_config_cannot_have_leave_the_schema_aside(name: str) -> None:
    assert declared_config({"properties": {name: {"type": "integer"}}}, {name: 1}) is None
