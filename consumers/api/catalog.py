"""The strategies that can be backtested: those that ship, and those that somebody uploaded."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Response
from pydantic import Field, StringConstraints
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from consumers.api.access import Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.known_strategies import refuse_undeclared, unknown
from consumers.api.models import Answer, Body
from consumers.api.problems import ConflictError, ForbiddenError, InvalidError, NotFoundError
from consumers.api.reading_uploads import Described, UploadReader, bytes_of
from consumers.api.rows import answer, fields, told
from infra.api_keys import Role
from infra.sandbox.canary import SandboxGate
from infra.store import uploads
from infra.store.uploads import NewVersion
from schemas.event import UtcTime

STRATEGIES_MAX = 100
"""Names of one owner, deleted ones too: their versions stay."""

Code = Annotated[str, StringConstraints(strip_whitespace=False)]
UploadName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", examples=["my_reversion"])]
StrategyName = Annotated[str, Path(min_length=1, max_length=128, examples=["moving_average_crossover"])]


class TextIn(Body):
    """The text of one .py file, at most 262,144 bytes in UTF-8; it defines one class derived from BaseStrategy."""

    code: Code


class StrategyIn(TextIn):
    """A new strategy."""

    name: UploadName


class StrategyOut(Answer):
    """A strategy by name."""

    name: str
    description: str
    parameters: dict[str, Any] = Field(description="Names with their defaults.")
    origin: Literal["shipped", "uploaded"] = "shipped"
    owner: str | None = None
    version: int | None = Field(None, description="The newest; a backtest that is requested now runs this one.")
    code_sha256: str | None = None
    uploaded_by: str | None = None
    uploaded_at: UtcTime | None = None
    why_not_run: str | None = Field(None, description="Why it is stored but does not run.")
    parameter_schema: dict[str, Any] | None = Field(None, description="JSON schema; left out of lists.")


class VersionOut(StrategyOut):
    """One version with its text."""

    code: str


@dataclass(frozen=True)
class Declared:
    """What an uploaded text says of its parameters."""

    defaults: dict[str, Any]
    parameter_schema: dict[str, Any]


class StrategyCatalog:
    """Routes about strategies. Everybody sees what there is; a text is shown to its owner and to admins."""

    def __init__(self, front: Front, gate: SandboxGate) -> None:
        self._front = front
        self._gate = gate
        self._reader = UploadReader(gate, front.service.clock)
        self._shipped: dict[str, StrategyOut] = {}
        self._brief: list[orjson.Fragment] = []

    def router(self) -> APIRouter:
        router = APIRouter(tags=["strategies"])
        strategies = router.get(
            "/strategies", summary="Strategies that can be backtested", response_model=list[StrategyOut]
        )
        strategies(self.list_strategies)
        router.post("/strategies", status_code=201, summary="Upload a strategy")(self.upload)
        router.get("/strategies/{name}", summary="One strategy")(self.show)
        router.put("/strategies/{name}", summary="Upload a new version")(self.replace)
        router.delete("/strategies/{name}", status_code=204, summary="Delete an uploaded strategy")(self.delete)
        router.get("/strategies/{name}/versions", summary="All versions, the newest first")(self.list_versions)
        router.get("/strategies/{name}/versions/{version}", summary="One version with its text")(self.show_version)
        return router

    async def list_strategies(self, caller: Viewer) -> Response:
        row = await self._front.ask(uploads.listing(fields(StrategyOut), self._gate.why_closed or None))
        return answer([*await self._brief_of_those_shipped(), *told(row["json"])])

    async def show(self, caller: Viewer, name: StrategyName) -> StrategyOut:
        shipped = await self._those_shipped()
        return shipped[name] if name in shipped else self._out(await self._row(name))

    async def list_versions(self, caller: Viewer, name: StrategyName) -> list[StrategyOut]:
        await self._row(name)
        async with self._front.reading() as connection:
            return [self._out(row, parameter_schema=None) for row in await uploads.versions(connection, name)]

    async def show_version(
        self, caller: Trader, name: StrategyName, version: Annotated[int, Path(ge=1, le=1_000_000)]
    ) -> VersionOut:
        _refuse_strangers(caller, name, (await self._row(name))["owner"])
        async with self._front.reading() as connection:
            row = await uploads.version(connection, name, version)
        if row is None:
            raise NotFoundError(f"{name} has no version {version}: GET /strategies/{name}/versions lists them")
        return VersionOut(**self._out(row).model_dump(), code=row["source"].decode())

    async def upload(self, caller: Trader, body: StrategyIn, response: Response) -> StrategyOut:
        """Reads the text inside the sandbox and keeps it. The same text once more changes nothing."""
        if body.name in await self._those_shipped():
            raise ConflictError(f"{body.name} is a strategy that comes with SCIZOR: choose another name")
        response.headers["Location"] = f"/strategies/{body.name}"
        return await self._keep(caller, body.name, body.code, new=True)

    async def replace(self, caller: Trader, name: StrategyName, body: TextIn) -> StrategyOut:
        """A new version; earlier ones stay, and results go on naming theirs."""
        _refuse_strangers(caller, name, (await self._row(name))["owner"])
        return await self._keep(caller, name, body.code, new=False)

    async def delete(self, caller: Trader, name: StrategyName) -> None:
        """It can no longer be asked for. Its versions stay: results name them."""
        now = self._front.service.clock.now()

        async def write(connection: AsyncConnection) -> tuple[None, Change]:
            row = await self._row(name)
            _refuse_strangers(caller, name, row["owner"])
            await uploads.set_deleted(connection, name, now)
            return None, Change("DELETE /strategies/{name}", name, before=self._out(row, parameter_schema=None))

        await self._front.changes.keep(caller, write)

    async def pinned(self, name: str, parameters: Mapping[str, Any]) -> str:
        """The hash of the text that a request for `name` means from now on; empty for what comes with SCIZOR.

        Raises what says why it cannot run. Rules between parameters are told where the code runs.
        """
        if name in await self._those_shipped():
            return ""
        async with self._front.reading() as connection:
            row = await uploads.newest(connection, name)
            known = [each["name"] for each in await uploads.listed(connection)] if row is None else []
        if row is None or row["deleted_at"] is not None:
            raise InvalidError(unknown(name, list(self._shipped), known))
        if self._gate.why_closed:
            raise ConflictError(f"{name} is stored, and does not run here: {self._gate.why_closed}")
        if not row["unread"]:
            await asyncio.to_thread(refuse_undeclared, row, parameters)
        return str(row["code_sha256"])

    async def declared(self, name: str) -> Declared | None:
        """The parameters of an uploaded strategy; None of one that comes with SCIZOR, or could not be looked at."""
        if name in await self._those_shipped():
            return None
        async with self._front.reading() as connection:
            row = await uploads.newest(connection, name)
        return None if row is None or row["unread"] else Declared(row["parameters"], row["parameter_schema"])

    async def _keep(self, caller: Caller, name: str, code: str, *, new: bool) -> StrategyOut:
        source = bytes_of(code)
        self._reader.count(caller.key_id)
        action = "POST /strategies" if new else "PUT /strategies/{name}"
        try:
            described = await self._reader.describe(name, source)
        except InvalidError as error:
            await self._front.changes.refused(caller, action, f"{name}: {error}")
            raise
        version = _version_of(name, source, caller, described, self._front)

        async def write(connection: AsyncConnection) -> tuple[StrategyOut, Change | None]:
            owner = await uploads.hold(connection, name, caller.label, version.uploaded_at)
            before = await uploads.newest(connection, name)
            if before is None and await uploads.count_of(connection, owner) > STRATEGIES_MAX:
                raise ConflictError(f"{owner} has {STRATEGIES_MAX} strategies, which is the most: use PUT for those")
            same = before is not None and before["code_sha256"] == version.code_sha256 and not before["unread"]
            here = before is not None and before["deleted_at"] is None
            if new and (owner != caller.label or (here and not same)):
                raise ConflictError(f"{name} exists and belongs to {owner}: PUT makes a new version, by its owner")
            if before is not None and here and same:
                return self._out(before), None
            await uploads.set_deleted(connection, name, None)
            await uploads.add_version(connection, version)
            row = await uploads.newest(connection, name)
            assert row is not None, "it was kept a line before"
            was = self._out(before, parameter_schema=None) if before is not None else None
            return self._out(row), Change(action, name, before=was, after=self._out(row, parameter_schema=None))

        return await self._front.changes.keep(caller, write)

    async def _row(self, name: str) -> RowMapping:
        async with self._front.reading() as connection:
            row = await uploads.newest(connection, name)
        if name in await self._those_shipped():
            raise ConflictError(f"{name} comes with SCIZOR: it has no uploaded versions and stays as it is")
        if row is None or row["deleted_at"] is not None:
            raise NotFoundError(f"no strategy {name!r}: GET /strategies lists them")
        return row

    async def _those_shipped(self) -> dict[str, StrategyOut]:
        if not self._shipped:
            self._shipped = await asyncio.to_thread(_listing)
        return self._shipped

    async def _brief_of_those_shipped(self) -> list[orjson.Fragment]:
        """They stay as they are while the service runs, so they are written once."""
        if not self._brief:
            shipped = (await self._those_shipped()).values()
            brief = [each.model_copy(update={"parameter_schema": None}) for each in shipped]
            self._brief = [orjson.Fragment(each.model_dump_json()) for each in brief]
        return self._brief

    def _out(self, row: Mapping[str, Any] | RowMapping, **changes: Any) -> StrategyOut:
        fields = {**row, "origin": "uploaded", "why_not_run": self._gate.why_closed or None, **changes}
        return StrategyOut.model_validate({name: fields.get(name) for name in StrategyOut.model_fields})


def _refuse_strangers(caller: Caller, name: str, owner: str) -> None:
    if caller.label != owner and not caller.role.includes(Role.ADMIN):
        raise ForbiddenError(f"{name} belongs to {owner}: only its owner and admins may")


def _version_of(name: str, source: bytes, caller: Caller, described: Described, front: Front) -> NewVersion:
    return NewVersion(
        name=name,
        code_sha256=hashlib.sha256(source).hexdigest(),
        source=source,
        uploaded_by=caller.label,
        uploaded_at=front.service.clock.now(),
        description=described.description,
        parameters=described.parameters,
        parameter_schema=described.parameter_schema,
        unread=described.unread,
    )


def _listing() -> dict[str, StrategyOut]:
    from engine.registry import listing, strategy_class  # loads the engine, hence not at import

    return {
        each.name: StrategyOut(
            name=each.name,
            description=each.description,
            parameters=each.parameters,
            parameter_schema=strategy_class(each.name).Config.model_json_schema(),
        )
        for each in listing()
    }
