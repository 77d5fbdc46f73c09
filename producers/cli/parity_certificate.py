"""The outcome of a parity proof as plain data."""

from contextlib import closing
from datetime import datetime
from typing import Any

from infra.engine_code import code_hash
from infra.journal.inputs import Inputs
from infra.settings import Settings
from producers.cli.parity import Parity, Replayed, Window
from producers.cli.parity_published import Streams, compare
from producers.cli.parity_words import DivergenceError
from producers.cli.records import run as run_with_kafka


def certified(
    settings: Settings, strategy_id: str, since: datetime | None = None, until: datetime | None = None
) -> dict[str, Any]:
    """The certificate, or the first divergence."""
    return run_with_kafka(verified(settings, strategy_id, Window(since, until)), settings)


async def verified(settings: Settings, strategy_id: str, window: Window) -> dict[str, Any]:
    head = {
        "strategy_id": strategy_id,
        "from": window.since.isoformat() if window.since else None,
        "to": window.until.isoformat() if window.until else None,
    }
    try:
        async with Inputs(settings) as inputs:
            with closing(Parity(settings, inputs, strategy_id, window)) as parity:
                found = await parity.run()
        streams = await compare(settings, strategy_id, found.outputs, frozenset(found.before | found.after))
    except DivergenceError as error:
        told = {"cause": error.cause, "what": error.what, "journal_entry": error.sequence, "detail": str(error)}
        return {**head, "verdict": "divergent", "divergence": told}
    return {**head, "verdict": "identical", **_certificate(found, streams)}


def _certificate(found: Replayed, streams: Streams) -> dict[str, Any]:
    now = code_hash()
    return {
        "counts": {"entries": found.entries, "inputs": found.inputs, **streams.counts},
        "offsets": {f"{topic}/{number}": list(ends) for (topic, number), ends in sorted(found.ranges.items())},
        "code": {"journalled": found.code, "now": now},
        "streams": {
            "inputs": found.input_stream.hexdigest(),
            "config": found.config_stream.hexdigest(),
            "signals": streams.signals.hexdigest(),
            "intents": streams.intents.hexdigest(),
            "decisions": streams.decisions.hexdigest(),
        },
        "notes": _notes(found, streams, now),
    }


def _notes(found: Replayed, streams: Streams, now: str) -> list[str]:
    notes = []
    if any(code != now for code in found.code):
        notes.append("the code is another one now, and decides the same")
    if streams.undecided:
        notes.append(f"{streams.undecided} intents wait for risk's decision")
    if streams.limits_no_longer_told:
        notes.append(
            f"{streams.limits_no_longer_told} decisions were made with limits whose version the topic no longer holds: "
            "they were made again from what they carry"
        )
    return notes
