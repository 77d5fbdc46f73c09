"""`scizor topics`: what topics.yaml declares, what is on the broker, and the records themselves."""

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import EnvironmentUnhealthyError
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from infra.settings import Settings
    from infra.topics import Catalogue, TopicSpec

app = typer.Typer(no_args_is_help=True, add_completion=False)

TopicName = Annotated[str, typer.Argument(metavar="TOPIC", help="As `list` shows it; a prefix or .dlq is understood.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
OnlyKey = Annotated[str | None, typer.Option("--key", help="Only records with this key.")]


@app.callback()
def topics() -> None:
    """Topics: what is declared, what is on the broker, what is in them."""


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Create the topics of topics.yaml that the broker does not have yet."""
    from infra import topic_admin
    from producers.cli.records import run, to_json

    settings = _running()
    applied = run(topic_admin.apply(settings), settings)
    if as_json:
        print(to_json({"created": applied.created, "present": applied.present}))
        return
    for name in applied.created:
        print(f"created {name}")
    print(f"{len(applied.created)} topics created, {len(applied.present)} were there")


@app.command("list")
def list_topics(as_json: AsJson = False) -> None:
    """All topics with key, partitions, kind, retention, readers and writers."""
    from infra.topics import load_catalogue
    from producers.cli.records import table, to_json

    catalogue = load_catalogue()
    declared = [declaration(topic, catalogue) for topic in catalogue.topics.values()]
    if as_json:
        print(to_json({"prefix": load_settings().topic_prefix, "topics": declared}, indent=2))
        return
    columns = ("name", "key", "partitions", "kind", "retention", "readers", "writers")
    rows = [[_cell(each[column]) for column in columns] for each in declared]
    print(table([[column.upper() for column in columns], *rows]))


@app.command()
def describe(topic: TopicName, as_json: AsJson = False) -> None:
    """One topic: its events, who uses it, and, when a broker runs, its settings and offsets there."""
    from infra.topics import load_catalogue
    from producers.cli.records import run, to_json, topic_named

    settings = load_settings()
    spec = topic_named(topic, settings)
    described = declaration(spec, load_catalogue()) | {"schema": _schema(spec), "broker": None}
    try:
        settings = _running()
    except EnvironmentUnhealthyError:
        typer.echo("no broker runs: this is what topics.yaml says", err=True)
    else:
        described["broker"] = run(_on_broker(settings, spec), settings)
    print(to_json(described, indent=2) if as_json else _description(described))


@app.command()
def tail(
    topic: TopicName,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with the oldest record.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many records.")] = None,
    key: OnlyKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a record, one a line.")] = False,
) -> None:
    """Print records as they come, until Ctrl-C."""
    from producers.cli.records import as_document, as_line, follow, has_key, printing, run, to_json, topic_named

    spec = topic_named(topic, load_settings())
    settings = _running()

    async def print_them() -> None:
        printed = 0
        async with contextlib.aclosing(follow(settings, spec, from_beginning=from_beginning)) as records:
            async for record in records:
                if has_key(record, key):
                    print(to_json(as_document(record)) if as_json else as_line(record), flush=True)
                    printed += 1
                if printed == limit:
                    return

    with printing():
        run(print_them(), settings)


@app.command()
def replay(
    topic: TopicName,
    key: OnlyKey = None,
    to_topic: Annotated[
        str | None,
        typer.Option("--to-topic", help="Copy the records to this new topic (its full name) instead of printing them."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of one a line.")] = False,
) -> None:
    """Print all records from the oldest to the newest at this moment, one JSON document a line."""
    from producers.cli.records import printing, run, to_json, topic_named

    spec = topic_named(topic, load_settings())
    settings = _running()
    if to_topic is not None:
        from producers.cli.copying import copy

        copied = run(copy(settings, spec, to_topic, key), settings)
        print(to_json({"topic": to_topic, "records": copied}) if as_json else f"{copied} records copied to {to_topic}")
        return
    with printing():
        run(_print_all(settings, spec, key, as_json=as_json), settings)


async def _print_all(settings: "Settings", spec: "TopicSpec", key: str | None, *, as_json: bool) -> None:
    from infra.replay import read_to_end
    from infra.topics import load_catalogue
    from producers.cli.records import as_document, has_key, require_on_broker, to_json, with_dead_letters

    await require_on_broker(settings, [spec])
    between = ""
    if as_json:
        print(f'{{"topic": {to_json(settings.topic_prefix + spec.name)}, "records": [', end="")
    async for records in read_to_end(settings, [spec.name], catalogue=with_dead_letters(load_catalogue())):
        for record in records:
            if has_key(record, key):
                print(between + to_json(as_document(record)), end="" if as_json else "\n")
                between = ",\n" if as_json else ""
    if as_json:
        print("]}")


def _running() -> "Settings":
    from infra.embedded.stack import running_settings

    return running_settings(load_settings(), needs_database=False)


def declaration(topic: "TopicSpec", catalogue: "Catalogue") -> dict[str, Any]:
    """What topics.yaml says about a topic and about who uses it."""
    from infra.topics import DEAD_LETTER_SUFFIX

    services = catalogue.services.values()
    source = topic.name.removesuffix(DEAD_LETTER_SUFFIX)
    is_letters = source != topic.name
    retention = "forever" if topic.retention is None or is_letters else f"{topic.retention.total_seconds() / 86400:g}d"
    return {
        "name": topic.name,
        "events": [event.__name__ for event in topic.classes],
        "key": ":".join(topic.key),
        "partitions": topic.partitions,
        "kind": "log" if is_letters else topic.kind,
        "retention": retention if topic.kind == "log" or is_letters else "newest per key",
        "headers": topic.headers,
        "poison": topic.poison,
        "readers": [] if is_letters else [s.name for s in services if topic.name in (*s.reads, *s.replays)],
        "writers": [s.name for s in services if (source in s.reads if is_letters else topic.name in s.writes)],
    }


def _schema(topic: "TopicSpec") -> dict[str, Any]:
    from infra.schema_files import schema_of

    return schema_of(topic)


async def _on_broker(settings: "Settings", spec: "TopicSpec") -> dict[str, Any]:
    from infra import topic_admin
    from producers.cli.records import offsets

    places = await offsets(settings, [spec])
    config = await topic_admin.describe(settings, spec)
    return {
        "address": settings.kafka,
        "topic": settings.topic_prefix + spec.name,
        "config": config,
        "partitions": [{"partition": p.partition, "first": b, "end": e} for p, (b, e) in sorted(places.items())],
    }


_TOLD_CONFIG = ("cleanup.policy", "retention.ms", "segment.bytes", "max.message.bytes", "flush.messages")


def _description(described: dict[str, Any]) -> str:
    """The same for a terminal: fields of each event instead of the whole schema."""
    lines = [f"{name:<12}{_cell(described[name])}" for name in described if name not in ("schema", "broker")]
    schema = described["schema"]
    definitions = {d["title"]: d for d in (*schema.get("$defs", {}).values(), schema) if "properties" in d}
    for event in described["events"]:
        lines += ["", f"{event}: {definitions[event].get('description', '')}"]
        needed = definitions[event].get("required", [])
        for name, field in definitions[event]["properties"].items():
            optional = "" if name in needed else f" = {field.get('default', '...')}"
            lines.append(f"  {name}: {_kind(field)}{optional}")
    if described["broker"] is not None:
        on_broker = described["broker"]
        lines += ["", f"on {on_broker['address']} as {on_broker['topic']}"]
        lines += [f"  {name} = {on_broker['config'][name]}" for name in _TOLD_CONFIG if name in on_broker["config"]]
        lines += [f"  partition {p['partition']}: offsets {p['first']} to {p['end']}" for p in on_broker["partitions"]]
    return "\n".join(lines)


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1]
    if alternatives := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(_kind(each) for each in alternatives)
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return str(field.get("const") or field.get("format") or field.get("type", "anything"))


def _cell(value: Any) -> str:
    return ", ".join(value) or "-" if isinstance(value, list) else str(value)
