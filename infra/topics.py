"""topics.yaml, typed and checked: which event travels on which topic, keyed by what, and who reads and writes it."""

import functools
import sys
import types
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ImportString, TypeAdapter, model_validator

from infra.errors import ScizorError, UsageError
from infra.settings import REPOSITORY
from schemas.event import Event

CATALOGUE_FILE = REPOSITORY / "topics.yaml"
DEAD_LETTER_SUFFIX = ".dlq"
_UNITS = {"h": "hours", "d": "days"}


class TopicUndeclaredError(ScizorError):
    def __init__(self, event_type: type) -> None:
        super().__init__(f"{event_type.__name__} has no topic: declare one in topics.yaml")
        self.event_type = event_type


class TopicUnknownError(UsageError):
    def __init__(self, name: str) -> None:
        super().__init__(f"no topic {name!r} in topics.yaml: `scizor topics list` shows them all")
        self.name = name


def _duration(text: object) -> object:
    """`forever` is None; `7d` and `12h` are durations."""
    if text == "forever":
        return None
    if isinstance(text, str) and text[:-1].isdigit() and text[-1] in _UNITS:
        return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    return text


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class TopicSpec(BaseModel):
    """One topic, its events and its key."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    events: ImportString[Any]
    key: Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    partitions: int = Field(ge=1, le=64)
    kind: Literal["log", "compacted"] = "log"
    retention: Annotated[timedelta | None, BeforeValidator(_duration)] = None
    compression: Literal["zstd", "none"] = "none"
    headers: Literal["cloudevents", "none"] = "cloudevents"
    flush: bool = False
    poison: Literal["dead_letter", "halt"] = "dead_letter"
    message_max_bytes: int = Field(1_048_576, ge=65_536, le=16_777_216)

    @functools.cached_property
    def classes(self) -> tuple[type[Event], ...]:
        """The event classes of the topic's family."""
        members = get_args(self.events)
        if not members:
            return (self.events,)
        union = members[0] if not isinstance(self.events, types.UnionType) else self.events
        return tuple(get_args(union))

    @functools.cached_property
    def adapter(self) -> TypeAdapter[Event]:
        return TypeAdapter(self.events)

    @functools.cached_property
    def version(self) -> str:
        return self.name.rsplit(".", 1)[1]

    @model_validator(mode="after")
    def _key_is_a_field_of_every_event(self) -> Self:
        for event_class in self.classes:
            if missing := set(self.key) - set(event_class.model_fields):
                raise ValueError(f"{self.name}: {event_class.__name__} has no field {sorted(missing)} to be keyed by")
        return self

    def key_of(self, event: Event) -> bytes:
        """The record's key: the natural values of the key fields, joined by a colon."""
        return ":".join(str(getattr(event, field)) for field in self.key).encode()

    def event_type_of(self, event_class: type[Event]) -> str:
        """The CloudEvents type, for instance `scizor.trading.intents.v1.OrderIntent`."""
        return f"scizor.{self.name}.{event_class.__name__}"

    def parse(self, value: bytes) -> Event:
        return self.adapter.validate_json(value)


class ServiceSpec(BaseModel):
    """One service: how it is started, what it reads, folds and writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    run: str
    port: int | None = None
    membership: Literal["static", "dynamic"] = "static"
    reads: tuple[str, ...] = ()
    replays: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


class Catalogue(BaseModel):
    """All of topics.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    constants: dict[str, str]
    topics: dict[str, TopicSpec]
    services: dict[str, ServiceSpec]

    @model_validator(mode="before")
    @classmethod
    def _names_move_inside(cls, data: dict[str, Any]) -> dict[str, Any]:
        named = {part: {n: {"name": n, **(b or {})} for n, b in data[part].items()} for part in ("topics", "services")}
        return {**data, **named}

    @model_validator(mode="after")
    def _services_name_declared_topics(self) -> Self:
        for service in self.services.values():
            if unknown := {*service.reads, *service.replays, *service.writes} - set(self.topics):
                raise ValueError(f"service {service.name} names undeclared topics {sorted(unknown)}")
        owners: dict[type[Event], str] = {}
        for topic in self.topics.values():
            for event_class in topic.classes:
                if event_class in owners:
                    raise ValueError(f"{event_class.__name__} is on {owners[event_class]} and on {topic.name}")
                owners[event_class] = topic.name
        return self

    @functools.cached_property
    def _by_class(self) -> dict[type[Event], TopicSpec]:
        return {event_class: topic for topic in self.topics.values() for event_class in topic.classes}

    def topic_of(self, event_type: type[Event]) -> TopicSpec:
        """The one topic that events of this class travel on."""
        if event_type not in self._by_class:
            raise TopicUndeclaredError(event_type)
        return self._by_class[event_type]

    def topic(self, name: str) -> TopicSpec:
        if name not in self.topics:
            raise TopicUnknownError(name)
        return self.topics[name]

    @functools.cached_property
    def dead_letter_sources(self) -> tuple[str, ...]:
        """Topics that somebody reads in a group: each has a dead-letter topic beside it."""
        return tuple(sorted({name for service in self.services.values() for name in service.reads}))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy works out for itself what follows from its topics and services."""
        copy = super().model_copy(update=update, deep=deep)
        for derived in ("_by_class", "dead_letter_sources", "supervised"):
            copy.__dict__.pop(derived, None)
        return copy

    @functools.cached_property
    def supervised(self) -> tuple[ServiceSpec, ...]:
        """Services that the supervisor starts: all but the command line."""
        return tuple(service for service in self.services.values() if service.name != "cli")


@functools.cache
def load_catalogue(file: Path = CATALOGUE_FILE) -> Catalogue:
    """Read topics.yaml once."""
    return Catalogue.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def main() -> None:
    """`python -m infra.topics apply` creates what is missing."""
    from infra.topic_admin import apply_from_command_line

    sys.exit(apply_from_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
