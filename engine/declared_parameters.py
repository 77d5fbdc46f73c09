"""Parameters as a strategy's JSON schema declares them: looked at where the strategy's code must not run.

Nobody vouches for the schema: what of it is not understood is not checked, and the code says the rest when it runs.
Rules between parameters are known to the code alone.
"""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import Field, create_model
from pydantic.errors import PydanticUserError

from engine.strategy import StrategyConfig

_BOUNDS = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_LENGTHS = {"minLength": "min_length", "maxLength": "max_length"}
_DEPTH_MAX = 3
_CHOICES_MAX = 1000


def declared_config(schema: Mapping[str, Any], defaults: Mapping[str, Any]) -> type[StrategyConfig] | None:
    """A config that takes what the schema does, and says in the same words what is wrong; None for none."""
    properties, named = _mapping(schema.get("properties")), _mapping(schema.get("$defs"))
    if set(properties) != set(defaults) or not all(map(_is_plain, properties)):
        return None
    fields: dict[str, Any] = {
        name: (_type_of(_mapping(told), named, _DEPTH_MAX), defaults[name]) for name, told in properties.items()
    }
    try:
        return create_model("Config", __base__=StrategyConfig, **fields)
    except (PydanticUserError, TypeError, ValueError, NameError):
        return None


def declared_ranges(schema: Mapping[str, Any]) -> dict[str, str]:
    """What is worth searching, by parameter: see `engine.strategy.searched`."""
    told = {name: _mapping(each).get("search") for name, each in _mapping(schema.get("properties")).items()}
    return {name: search for name, search in told.items() if isinstance(search, str)}


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, dict) else {}


def _is_plain(name: str) -> bool:
    return name.isidentifier() and not name.startswith(("_", "model_")) and not hasattr(StrategyConfig, name)


def _type_of(told: Mapping[str, Any], named: Mapping[str, Any], depth: int) -> Any:
    if not depth:
        return Any
    if isinstance(told.get("$ref"), str):
        return _type_of(_mapping(named.get(told["$ref"].removeprefix("#/$defs/"))), named, depth - 1)
    if isinstance(told.get("anyOf"), list) and told["anyOf"]:
        kinds = tuple(_type_of(_mapping(each), named, depth - 1) for each in told["anyOf"][:_CHOICES_MAX])
        return Union[kinds]  # noqa: UP007 # of kinds that are known only now
    choices = told.get("enum", [told["const"]] if "const" in told else None)
    if choices is not None:
        return _one_of(choices)
    kind = _KINDS.get(str(told.get("type")))
    return Any if kind is None else kind(told)


def _one_of(choices: Any) -> Any:
    known = isinstance(choices, list) and 0 < len(choices) <= _CHOICES_MAX
    return Literal[tuple(choices)] if known and all(isinstance(each, str | int | bool) for each in choices) else Any


def _number(kind: type) -> Callable[[Mapping[str, Any]], Any]:
    def made(told: Mapping[str, Any]) -> Any:
        bounds = {ours: told[theirs] for theirs, ours in _BOUNDS.items() if _is_bound(told.get(theirs))}
        if bounds.get("multiple_of", 1) <= 0:
            del bounds["multiple_of"]
        return Annotated[kind, Field(**bounds)]

    return made


def _is_bound(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


def _text(told: Mapping[str, Any]) -> Any:
    """No pattern: a hostile one takes for ever."""
    lengths = {ours: told[theirs] for theirs, ours in _LENGTHS.items() if type(told.get(theirs)) is int}
    return Annotated[str, Field(**{name: max(length, 0) for name, length in lengths.items()})]


_KINDS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "integer": _number(int),
    "number": _number(float),
    "string": _text,
    "boolean": lambda told: bool,
    "null": lambda told: None,
}
