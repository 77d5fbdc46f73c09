"""Whether anybody knows the name that was killed, looked up once the kill holds: a mistyped one stops nothing."""

import asyncio
import difflib
import shlex
from typing import TYPE_CHECKING

from infra.errors import ScizorError

if TYPE_CHECKING:
    from collections.abc import Collection

    from infra.settings import Settings

LOOK_SECONDS = 1.0
_NAMED_MAX = 10


def arming(scope: str) -> str:
    """The command that lifts the kill of this scope."""
    kind, _, name = scope.partition(":")
    which = f"--scope {kind} {shlex.quote(name)}" if name else "--global"
    return f'`scizor arm {which} --reason "..."`'


async def known_names(settings: "Settings", kind: str) -> frozenset[str] | None:
    """The names of a kind that the database knows; None when it cannot be asked within a second."""
    from sqlalchemy.exc import SQLAlchemyError

    from infra.embedded.running import running_settings
    from infra.store import names
    from infra.store.database import Store

    try:
        store = Store(running_settings(settings), "cli", pool_size=1)
        try:
            async with asyncio.timeout(LOOK_SECONDS), store.looking() as connection:
                return await names.known(connection, kind)
        finally:
            await store.close()
    except (ScizorError, SQLAlchemyError, OSError):  # a kill needs no database: what cannot be looked up is not told
        return None


def warning(scope: str, known: "Collection[str] | None") -> str:
    """That nothing has the name of a scope that was killed, which names there are, and what lifts the kill."""
    kind, _, name = scope.partition(":")
    if known is None or name in known:
        return ""
    there = f"there {'is' if len(known) == 1 else 'are'} {_listed(name, known)}" if known else "it knows none yet"
    return f"the database knows no {kind} {name!r}, so this kill may stop nothing: {there}; {arming(scope)} lifts it"


def _listed(name: str, known: "Collection[str]") -> str:
    """The names that are most like it first, then the others."""
    by_lower = {each.lower(): each for each in sorted(known)}
    near = [by_lower[each] for each in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]
    shown = [*near, *(each for each in sorted(known) if each not in near)][:_NAMED_MAX]
    more = f", ... and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    return ", ".join(shown) + more
