"""`scizor keys`: who may use the HTTP services."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from infra.api_keys import KeyRecord, Role
from infra.clock import SystemClock
from infra.embedded.process import Child, Command, failure
from infra.embedded.programs import environment_of
from infra.embedded.running import running_settings
from infra.embedded.waiting import within
from infra.errors import UsageError
from infra.keys import write_secret
from infra.settings import REPOSITORY, Settings

if TYPE_CHECKING:
    from infra.store.database import Store

app = typer.Typer(no_args_is_help=True, help="API keys of the HTTP services.")

T = TypeVar("T")
_DAYS_MAX = 3660
_ENSURE_SECONDS = 60.0
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def create(
    label: Annotated[str, typer.Argument(help="Whose key it is, or what for: it shows in the audit log.")],
    role: Annotated[
        Role, typer.Option(help="viewer reads; trader also trades and halts; admin also arms.")
    ] = Role.VIEWER,
    days: Annotated[int, typer.Option(min=0, max=_DAYS_MAX, help="Good for so many days; 0: until revoked.")] = 90,
    file: Annotated[Path | None, typer.Option(help="Write the key to this file (mode 0600) and print none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once: only a digest of it is kept."""
    from infra.store import api_keys  # slow to load: not for --help

    lifetime = timedelta(days=days) if days else None
    drawn = _with_store(lambda store: api_keys.create(store, label.strip(), role, SystemClock(), lifetime=lifetime))
    told = {"key_id": drawn.key_id, "label": label.strip(), "role": role.value}
    if file is not None:
        write_secret(file, drawn.text)
    if as_json:
        print(json.dumps(told | ({"file": str(file)} if file else {"key": drawn.text})))
        return
    kept = "it is in this file alone" if file else "keep it now, it is not shown again"
    print(f"key {drawn.key_id} ({role.value}): {kept}", file=sys.stderr)
    print(str(file) if file else drawn.text)


def make_admin_key(settings: Settings) -> None:
    """`keys ensure` in a process of its own: the one that starts the system stays small."""
    log = settings.home / "logs" / "keys.log"
    argv = [sys.executable, "-m", "producers.cli.main", "keys", "ensure"]
    child = Child(Command(argv, log, environment_of(settings), REPOSITORY))
    try:
        for _ in within(_ENSURE_SECONDS):
            if child.exit_code is not None:
                break
    finally:
        child.finish(0)
    if child.exit_code != 0:
        raise failure("no admin key could be made", log, "then try `scizor keys ensure`")


def key_of(text: str) -> KeyRecord | None:
    """The record of a key, when the database has one."""
    from infra.api_keys import key_id_of
    from infra.store import api_keys

    async def read(store: "Store") -> list[KeyRecord]:
        async with store.reading() as connection:
            return list(await api_keys.all_keys(connection))

    wanted = key_id_of(text)
    return next((record for record in _with_store(read) if record.key_id == wanted), None) if wanted else None


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """All keys, newest first; never the keys themselves."""

    from infra.store import api_keys

    async def read(store: "Store") -> list[KeyRecord]:
        async with store.reading() as connection:
            return list(await api_keys.all_keys(connection))

    records = _with_store(read)
    now = SystemClock().now()
    rows = [_shown(record, now) for record in records]
    if as_json:
        print(json.dumps(rows))
        return
    print(f"{'KEY':<10} {'ROLE':<8} {'STATE':<9} {'EXPIRES':<12} LABEL")
    for row in rows:
        expires = (row["expires_at"] or "never")[:10]
        print(f"{row['key_id']:<10} {row['role']:<8} {row['state']:<9} {expires:<12} {row['label']}")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="As `scizor keys list` shows it.")]) -> None:
    """Refuse a key from now on; running services take a few seconds to notice."""
    from infra.store import api_keys

    if not _with_store(lambda store: api_keys.withdraw(store, key_id, SystemClock())):
        raise UsageError(f"no good key {key_id}: `scizor keys list` shows them all")
    print(f"key {key_id} is revoked", file=sys.stderr)


@app.command()
def ensure(
    file: Annotated[
        Path | None, typer.Option(help="Where the key is kept; default: api-key in the state folder.")
    ] = None,
) -> None:
    """Make sure that the state folder holds a good admin key; prints the file's name, never the key."""
    from infra.store import api_keys

    place = file or Settings().home.resolve() / "api-key"
    made = _with_store(lambda store: api_keys.ensure_key(store, place, SystemClock()))
    print(f"{'made a new admin key' if made else 'the admin key is good'}: `cat {place}` shows it", file=sys.stderr)
    print(place)


def _with_store(act: Callable[["Store"], Awaitable[T]]) -> T:
    from infra.store.database import Store

    async def run() -> T:
        store = Store(running_settings(Settings()), "cli", pool_size=1)
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _shown(record: KeyRecord, now: datetime) -> dict[str, Any]:
    state = "revoked" if record.revoked_at else "good" if record.good(now) else "expired"
    return {
        "key_id": record.key_id,
        "label": record.label,
        "role": record.role.value,
        "state": state,
        "created_at": record.created_at.isoformat(),
        "expires_at": record.expires_at.isoformat() if record.expires_at else None,
    }
