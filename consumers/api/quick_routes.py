"""Routes whose requests are read without FastAPI's search through dependencies, which would cost more than the answer.

Only of endpoints that give a Response and take no body; what is wrong is told in the same words.
"""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from inspect import signature
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.datastructures import QueryParams
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
    query = _Query(dependant.query_params)

    async def handle(request: Request) -> Response:
        values: dict[str, Any] = {name: await key(request)}
        parts = [
            request_params_to_args(dependant.path_params, request.path_params),
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


class _Query:
    """The parameters of a query. Most are left out of most requests: FastAPI would look at each all the same."""

    def __init__(self, fields: Sequence[Any]) -> None:
        self._fields = [(field, _has_plain_default(field)) for field in fields]
        self._defaults = {field.name: field.default for field, may_be_left_out in self._fields if may_be_left_out}

    def read(self, given: QueryParams) -> tuple[dict[str, Any], list[Any]]:
        """Values by name, and what is wrong."""
        asked = [field for field, may_be_left_out in self._fields if not may_be_left_out or field.alias in given]
        found, errors = request_params_to_args(asked, given)
        return self._defaults | found, errors


def _has_plain_default(field: Any) -> bool:
    """Whether it is one value that stands as it is; not a model of several parameters, or a list to be copied."""
    annotation = field.field_info.annotation
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return not field.field_info.is_required() and not is_model and isinstance(field.default, Hashable)
