"""The demo checks itself: the same bars in simulator, topic and database; positions as the broker has them."""

import json
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from infra.embedded.programs import answer_of
from infra.errors import ScizorError
from infra.replay import fold
from infra.settings import Settings
from infra.topics import DEAD_LETTER_SUFFIX, load_catalogue
from producers.cli.records import offsets, with_dead_letters
from schemas.account import Position

_COMPARE_SECONDS = 60.0
_STORED = "SELECT count(*) FROM (SELECT DISTINCT contract_id, bar_size_seconds, start FROM bars)"


class ProofFailedError(ScizorError):
    def __init__(self, complaints: list[str]) -> None:
        super().__init__("the demo's own checks failed: " + "; ".join(complaints))


@dataclass(frozen=True)
class Bars:
    """How many bars each side has, and the digest over their keys and values."""

    served: int
    published: int
    stored: int
    digests: tuple[str, str, str]

    def complaint(self) -> str | None:
        if len(set(self.digests)) == 1:
            return None
        return f"bars differ: {self.served} served, {self.published} published, {self.stored} stored"


async def compare_bars(settings: Settings, ledger: Path) -> Bars:
    """The three sides of every bar: served by the simulator, on the topics, in the database.

    In a process of its own, since what columns need of memory would stay in this one as long as the demo is up.
    """
    sides = json.loads(await answer_of(["producers.cli.bar_sides", str(ledger)], settings, _COMPARE_SECONDS))
    (served, one), (published, two), (stored, three) = sides
    return Bars(served, published, stored, (one, two, three))


async def count_stored(settings: Settings) -> int:
    """How many bars the database has, each natural key once."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value(), timeout=_COMPARE_SECONDS)
    try:
        return int(await connection.fetchval(_STORED, timeout=_COMPARE_SECONDS))
    finally:
        await connection.close()


async def positions(settings: Settings, account: str) -> dict[int, float]:
    """Our positions by contract, as the portfolio tells them; none that is flat."""
    found: dict[int, float] = {}
    async for event, _ in fold(settings, ["trading.positions.v1"]):
        if isinstance(event, Position) and event.account_id == account:
            found[event.contract_id] = float(event.quantity)
    return {contract: quantity for contract, quantity in found.items() if quantity}


async def count_dead_letters(settings: Settings) -> int:
    catalogue = load_catalogue()
    letters = with_dead_letters(catalogue).topics
    specs = [letters[source + DEAD_LETTER_SUFFIX] for source in catalogue.dead_letter_sources]
    return sum(end - begin for begin, end in (await offsets(settings, specs)).values())
