"""What is said about the names and parameters of strategies before anything runs."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping

from consumers.api.problems import InvalidError

_NAMED_MAX = 20


def unknown(name: str, shipped: Sequence[str], uploaded: Sequence[str]) -> str:
    """That there is no such strategy, and which there are."""
    near = next(iter(difflib.get_close_matches(name, [*shipped, *uploaded], n=1, cutoff=0.5)), "")
    hint = f" (did you mean {near}?)" if near else ""
    more = f", ... and {len(uploaded) - _NAMED_MAX} more" if len(uploaded) > _NAMED_MAX else ""
    own = f"; uploaded: {', '.join(uploaded[:_NAMED_MAX])}{more}" if uploaded else ""
    return f"no strategy {name}{hint}: there are {', '.join(shipped)}{own}"


def refuse_undeclared(row: RowMapping, parameters: Mapping[str, Any]) -> None:
    """By what an uploaded text declares; loads the engine: ask in a thread."""
    from engine.declared_parameters import declared_config  # the engine, hence not at import
    from engine.strategy import ParameterError

    config = declared_config(row["parameter_schema"], row["parameters"])
    try:
        if config is not None:
            config.parse(parameters)
    except ParameterError as error:
        raise InvalidError(str(error)) from error
