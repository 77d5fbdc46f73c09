"""Queries hold what the OpenAPI file declares: a name that is unknown, or said twice, is told and not overlooked."""

import difflib
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from consumers.api.problems import InvalidError
from consumers.api.unstorable import why_no_text

_SHOWN_MAX = 50


class DeclaredQuery:
    """Which names each operation's query may hold, and whether more than once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._known = {
            (method.upper(), path): {
                each["name"]: _is_list(each["schema"])
                for each in operation.get("parameters", ())
                if each["in"] == "query"
            }
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        }

    def check(self, request: Request) -> None:
        """InvalidError with the name of what is wrong."""
        for name, value in request.path_params.items():
            _refuse_no_text(name, value)
        if not request.scope["query_string"]:
            return
        known = self._known[request.scope["method"], request.scope["route"].path]
        seen: set[str] = set()
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise InvalidError(_unknown(name, known))
            if name in seen and not known[name]:
                raise InvalidError(f"query.{name}: given more than once")
            _refuse_no_text(name, value)
            seen.add(name)


def _is_list(schema: Mapping[str, Any]) -> bool:
    return "array" in {part.get("type") for part in (schema, *schema.get("anyOf", ()))}


def _unknown(name: str, known: Mapping[str, bool]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]}?)" if close else ""
    there_are = f"known are {', '.join(known)}" if known else "this address takes none"
    return f"query.{name[:_SHOWN_MAX]}: unknown parameter{hint}: {there_are}"


def _refuse_no_text(name: str, value: object) -> None:
    if why := why_no_text(str(value)):
        raise InvalidError(f"{name}: {why}")
