"""`python -m tests.faultlab.builds BUILD PROGRAM`: services as an earlier or a later build would run them."""

import asyncio
import json
import runpy
import sys
from collections.abc import Callable
from typing import Any

from infra.gateway import pacing
from schemas.event import Event

BACK_OFF_SECONDS = 3.0
LATER_FIELD = "of_a_later_build"


def briefly() -> None:
    """It is quiet for three seconds after the gateway's complaint instead of fifteen; the rest is as it was."""
    pacing._BACK_OFF_MAX_SECONDS = BACK_OFF_SECONDS


def newer() -> None:
    """Its events carry fields that nobody knows yet, at every depth."""
    honest = Event.to_json
    Event.to_json = lambda self: as_a_newer_build(honest(self))  # type: ignore[method-assign] # that is the fault


def older() -> None:
    """Its events lack every field that came later: one that has a default, and says just that."""
    Event.to_json = as_an_older_build  # type: ignore[method-assign, assignment] # that is the fault


def as_a_newer_build(value: bytes) -> bytes:
    """An event with more fields, in itself and in each event that it carries."""
    return json.dumps(_more(json.loads(value))).encode()


def _more(value: Any) -> Any:
    if isinstance(value, dict):
        told = {name: _more(each) for name, each in value.items()}
        return told | {LATER_FIELD: {"depth": [1, None, "x"]}} if "event_time" in told else told
    return [_more(each) for each in value] if isinstance(value, list) else value


def as_an_older_build(event: Event) -> bytes:
    """An event without its defaults; what tells its class stays."""
    return json.dumps(_less(event)).encode()


def _less(event: Event) -> dict[str, Any]:
    told: dict[str, Any] = event.model_dump(mode="json")
    for name, field in type(event).model_fields.items():
        value = getattr(event, name)
        if name != "type" and not field.is_required() and value == field.get_default(call_default_factory=True):
            del told[name]
        elif isinstance(value, Event):
            told[name] = _less(value)
    return told


BUILDS: dict[str, Callable[[], None]] = {each.__name__: each for each in (briefly, newer, older)}


if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())  # the client library of IB looks for one when it is imported
    BUILDS[sys.argv[1]]()
    runpy.run_module(sys.argv[2], run_name="__main__")
