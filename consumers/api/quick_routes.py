"""Routes whose requests are read without FastAPI's search through dependencies, which would cost more than the answer.

Only of endpoints that give a Response and take no body; what is wrong is told in the same words.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from inspect import signature
from typing import Any

from fastapi import Request, Response
from fastapi._compat import field_annotation_is_sequence
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import request_response

from consumers.api.access import Key

_Handler = Callable[[Request], Awaitable[Response]]


def quicken(route: APIRoute) -> None:
    """Let the route's requests be read here, if they are of the kind."""
    if route.body_field is None and signature(route.endpoint).return_annotation is Response:
        route.app = request_response(_handler(route.endpoint, route.dependant))


def _handler(endpoint: Callable[..., Awaitable[Response]], dependant: Dependant) -> _Handler:
    (dependency,) = dependant.dependencies
    key, name = dependency.call, dependency.name
    assert isinstance(key, Key), f"{endpoint.__qualname__} depends on more than its key"
    assert name is not None, "a caller has a name"
    path, query = _Parameters(dependant.path_params), _Parameters(dependant.query_params)

    async def handle(request: Request) -> Response:
        values: dict[str, Any] = {name: await key(request)}
        parts = [
            path.read(request.path_params),
            query.read(request.query_params),
            request_params_to_args(dependant.header_params, request.headers),
        ]
        if errors := [error for _, wrong in parts for error in wrong]:
            raise RequestValidationError(errors)
        for found, _ in parts:
            values |= found
        if dependant.request_param_name is not None:
            values[dependant.request_param_name] = request
        return await endpoint(**values)

    return handle


class _Parameters:
    """Those of a path or a query. Most are left out of most requests: FastAPI would look at each all the same."""

    def __init__(self, fields: Sequence[Any]) -> None:
        self._fields = [(field, field.field_info.in_.value, _is_one_value(field)) for field in fields]
        self._defaults = {field.name: field.default for field in fields if _has_plain_default(field)}

    def read(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """Values by name, and what is wrong."""
        values, errors = dict(self._defaults), []
        for field, where, is_one_value in self._fields:
            if is_one_value and field.alias in given:
                values[field.name], wrong = field.validate(given[field.alias], {}, loc=(where, field.alias))
            elif field.name not in self._defaults:
                found, wrong = request_params_to_args([field], given)
                values |= found
            else:
                continue
            errors += wrong
        return values, errors


def _has_plain_default(field: Any) -> bool:
    """Whether the default stands as it is: it need not be copied."""
    return _is_one_value(field) and not field.field_info.is_required() and isinstance(field.default, Hashable)


def _is_one_value(field: Any) -> bool:
    """Neither a model of several parameters nor a list: what stands in the request is what is validated."""
    annotation = field.field_info.annotation
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return not is_model and not field_annotation_is_sequence(annotation)
