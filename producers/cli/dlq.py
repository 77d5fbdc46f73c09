"""`scizor dlq`: records that were set aside, why, and how they get another chance."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from infra.delivery import Record
    from infra.settings import Settings
    from infra.topics import TopicSpec

app = typer.Typer(no_args_is_help=True, add_completion=False)

SHOWN = 20
_VALUE_MAX = 400
_CONTEXT = "scizor_dlq_"
REPLAY_HEADER = "x-replay-of"

TopicName = Annotated[str, typer.Argument(metavar="TOPIC", help="The topic whose records were set aside.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


class NoDeadLetterError(UsageError):
    def __init__(self, topic: str, place: str) -> None:
        super().__init__(f"no dead letter at offset {place} of {topic}: `scizor dlq show {topic}` shows them")


@app.callback()
def dlq() -> None:
    """Dead letters: records that no service could handle."""


@app.command("list")
def list_letters(as_json: AsJson = False) -> None:
    """How many records of each topic were set aside."""
    from infra.topics import DEAD_LETTER_SUFFIX, load_catalogue
    from producers.cli.records import offsets, run, table, to_json, with_dead_letters

    settings = _running()
    catalogue = load_catalogue()
    specs = [with_dead_letters(catalogue).topics[s + DEAD_LETTER_SUFFIX] for s in catalogue.dead_letter_sources]
    counts = dict.fromkeys(catalogue.dead_letter_sources, 0)
    for place, (begin, end) in run(offsets(settings, specs), settings).items():
        counts[place.topic.removeprefix(settings.topic_prefix).removesuffix(DEAD_LETTER_SUFFIX)] += end - begin
    total = sum(counts.values())
    if as_json:
        rows = [{"topic": topic, "records": count} for topic, count in counts.items()]
        print(to_json({"dead_letters": rows, "total": total}, indent=2))
    elif total:
        print(table([["TOPIC", "RECORDS"], *([topic, str(count)] for topic, count in counts.items() if count)]))
    else:
        print("no dead letters")


@app.command()
def show(
    topic: TopicName,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="The newest so many.")] = SHOWN,
    as_json: AsJson = False,
) -> None:
    """The newest dead letters of a topic: where each comes from, why it was set aside, what it says."""
    from producers.cli.records import as_document, dead_letters_of, run, to_json

    spec = dead_letters_of(topic, load_settings())
    settings = _running()
    letters = run(_read(settings, spec), settings)[-limit:]
    if as_json:
        print(to_json({"dead_letters": [as_document(letter) | _context(letter) for letter in letters]}, indent=2))
        return
    print("\n".join(_told(letter) for letter in letters) or "no dead letters")


@app.command()
def replay(
    topic: TopicName,
    offset: Annotated[
        list[str] | None,
        typer.Option("--offset", metavar="[PARTITION:]OFFSET", help="Only this dead letter; may be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters to the topic they come from, once the cause is mended. They stay in the dead-letter topic."""
    from producers.cli.records import dead_letters_of, run, to_json

    spec = dead_letters_of(topic, load_settings())
    settings = _running()
    letters = _chosen(run(_read(settings, spec), settings), spec, offset or [])
    if letters and not yes:
        _ask(f"send {len(letters)} dead letters to {_source(spec, settings)} again?")
    if letters:
        run(_send(settings, spec, letters), settings)
    if as_json:
        print(to_json({"topic": _source(spec, settings), "replayed": len(letters)}))
    else:
        print(f"{len(letters)} records sent to {_source(spec, settings)}")


def _running() -> "Settings":
    from infra.embedded.stack import running_settings

    return running_settings(load_settings(), needs_database=False)


async def _read(settings: "Settings", spec: "TopicSpec") -> "list[Record]":
    """All dead letters of a topic, oldest first."""
    from infra.replay import read_to_end
    from infra.topics import load_catalogue
    from producers.cli.records import require_on_broker, with_dead_letters

    await require_on_broker(settings, [spec])
    catalogue = with_dead_letters(load_catalogue())
    found = [record async for part in read_to_end(settings, [spec.name], catalogue=catalogue) for record in part]
    return sorted(found, key=lambda record: (record.timestamp, record.partition, record.offset))


def _context(letter: "Record") -> dict[str, Any]:
    """Why and from where, as the service wrote it into the headers."""
    told = {
        name.removeprefix(_CONTEXT): (value or b"").decode("utf-8", "replace")
        for name, value in letter.headers
        if name.startswith(_CONTEXT)
    }
    return {"origin": told}


def _told(letter: "Record") -> str:
    from producers.cli.records import printable

    told = {name: printable(text, _VALUE_MAX) for name, text in _context(letter)["origin"].items()}
    origin = f"{told.get('topic', '?')}/{told.get('partition', '?')}@{told.get('offset', '?')}"
    value = "(no value)" if letter.value is None else letter.value.decode("utf-8", "replace")
    return (
        f"{letter.partition}:{letter.offset}  {told.get('time', '?')}  from {origin}  "
        f"by {told.get('group', '?')}  attempts {told.get('attempts', '?')}\n"
        f"  why    {told.get('reason', '?')}\n"
        f"  value  {printable(value, _VALUE_MAX)}"
    )


def _chosen(letters: "list[Record]", spec: "TopicSpec", wanted: list[str]) -> "list[Record]":
    if not wanted:
        return letters
    by_place = {(letter.partition, letter.offset): letter for letter in letters}
    chosen = []
    for text in wanted:
        place = _place(text, spec)
        if place not in by_place:
            raise NoDeadLetterError(spec.name.removesuffix(".dlq"), text)
        chosen.append(by_place[place])
    return chosen


def _place(text: str, spec: "TopicSpec") -> tuple[int, int]:
    partition, _, offset = text.rpartition(":")
    if not offset.isdecimal() or (partition and not partition.isdecimal()):
        raise UsageError(f"--offset {text!r} is no place: say OFFSET or PARTITION:OFFSET, as `scizor dlq show` does")
    if not partition and spec.partitions > 1:
        raise UsageError(f"{spec.name} has {spec.partitions} partitions: say --offset PARTITION:{offset}")
    return int(partition or 0), int(offset)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody is here to be asked whether to send them again: add --yes")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def _source(spec: "TopicSpec", settings: "Settings") -> str:
    return settings.topic_prefix + spec.name.removesuffix(".dlq")


async def _send(settings: "Settings", spec: "TopicSpec", letters: "list[Record]") -> None:
    """Each as it first was, to its first partition, with a header that tells which dead letter it was."""
    from infra import broker

    source = _source(spec, settings)
    producer = broker.producer(settings)
    await producer.start()
    try:
        for letter in letters:
            told = _context(letter)["origin"]
            headers = [(name, value or b"") for name, value in letter.headers if not name.startswith(_CONTEXT)]
            mark = f"{letter.topic}/{letter.partition}/{letter.offset}"
            await producer.send_and_wait(
                source,
                letter.value or None,
                key=letter.key or None,
                partition=int(told.get("partition", letter.partition)),
                timestamp_ms=int(told.get("timestamp", letter.timestamp)),
                headers=[*(h for h in headers if h[0] != REPLAY_HEADER), (REPLAY_HEADER, mark.encode())],
            )
    finally:
        await producer.stop()
