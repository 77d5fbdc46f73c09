"""What went wrong, as RFC 9457 problem documents that say what to do."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from aiokafka.errors import KafkaError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from infra.errors import EnvironmentUnhealthyError, ScizorError, UsageError

RETRY_AFTER_SECONDS = 2
SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do."},
        "errors": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}},
    },
}
"""A problem document, for the OpenAPI file."""
_ERRORS_MAX = 20
_GIVEN_MAX = 100
AWAY: tuple[type[Exception], ...] = (EnvironmentUnhealthyError, KafkaError, TimeoutError)
"""What a database or a broker that is away looks like."""


class ApiError(ScizorError):
    """An answer other than the one that was asked for; its text says what to do."""

    status = HTTPStatus.BAD_REQUEST
    headers: ClassVar[Mapping[str, str]] = {}
    errors: Sequence[Mapping[str, str]] = ()


class UnauthenticatedError(ApiError):
    status = HTTPStatus.UNAUTHORIZED
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="scizor"'}

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}: send `Authorization: Bearer KEY` or `X-API-Key: KEY`; an administrator makes keys with "
            "`scizor keys create`"
        )


class ForbiddenError(ApiError):
    status = HTTPStatus.FORBIDDEN


class NotFoundError(ApiError):
    status = HTTPStatus.NOT_FOUND


class ConflictError(ApiError):
    status = HTTPStatus.CONFLICT


class InvalidError(ApiError):
    """Something that was sent cannot be; `where` names the field: `body.limit_price`."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, text: str, where: str = "") -> None:
        super().__init__(f"{where}: {text}" if where else text)
        self.errors = ({"where": where, "message": text},) if where else ()


class TooManyError(ApiError):
    status = HTTPStatus.TOO_MANY_REQUESTS
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class UnavailableError(ApiError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(RETRY_AFTER_SECONDS)}


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, errors: Sequence[Mapping[str, str]] = ()
) -> Response:
    """A problem document."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body["detail"] = detail
    if errors:
        body["errors"] = list(errors)
    return JSONResponse(body, status, headers=dict(headers or {}), media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every failure with a problem document."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(UsageError, _on_usage_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    for kind in AWAY:
        app.add_exception_handler(kind, _on_away)


async def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return problem(error.status, str(error), headers=error.headers, errors=error.errors)


async def _on_usage_error(_: Request, error: Exception) -> Response:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI's word for a body that it could not read at all
        message = "not JSON in UTF-8, or nested too deep"
        return problem(422, f"body: {message}", errors=[{"where": "body", "message": message}])
    detail = {404: "no such address: /docs lists them all", 405: "this address has no such method: see /docs"}
    return problem(error.status_code, detail.get(error.status_code, str(error.detail)), headers=error.headers)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [_in_words(each) for each in error.errors()[:_ERRORS_MAX]]
    first = f"{errors[0]['where']}: {errors[0]['message']}" if errors else "the request is not valid"
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, first + more, errors=errors)


def _in_words(error: Mapping[str, Any]) -> dict[str, str]:
    where = _printable(".".join(str(part) for part in error["loc"]))
    message = str(error["msg"]).removeprefix("Value error, ").replace("valid tuple", "list")
    if error["type"] == "json_invalid":
        return {"where": "body", "message": f"not JSON: {error.get('ctx', {}).get('error', message)}"}
    given = error.get("input")
    simple = isinstance(given, str | int | float | bool) and error["type"] != "missing"
    return {"where": where, "message": message} | ({"given": _printable(given)} if simple else {})


def _printable(given: object) -> str:
    return str(given)[:_GIVEN_MAX].encode(errors="backslashreplace").decode()


async def _on_away(_: Request, error: Exception) -> Response:
    known = str(error) if isinstance(error, EnvironmentUnhealthyError) else "Kafka or the database does not answer"
    detail = f"{known}: try again; /health tells more"
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=UnavailableError.headers)
