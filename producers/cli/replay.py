"""`scizor replay`: what was done live, done again from the topics and compared."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def replay() -> None:
    """What was done live, done again from the topics and compared."""


@app.command()
def verify(
    strategy: Annotated[str, typer.Option(metavar="ID", help="As `scizor live status` shows it.")],
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="From a day or a moment on, in UTC.")] = "",
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="To a moment, or to the end of a day.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """The parity proof: journalled inputs through the same code again, byte by byte.

    Exit 0 with a certificate, or exit 1 with the first difference and its cause: an input, a parameter, a limit,
    the code, the journal, an output, a decision, or chance (the same inputs and code, another outcome).
    """
    from infra.embedded.running import running_settings
    from producers.cli.parity_certificate import certified

    found = certified(
        running_settings(load_settings(), needs_database=False), strategy, _moment(since), _moment(until, ends=True)
    )
    print(json.dumps(found, indent=2) if as_json else _told(found))
    sys.exit(0 if found["verdict"] == "identical" else 1)


def _moment(text: str, *, ends: bool = False) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"no time {text!r}: write 2026-03-02 or 2026-03-02T14:30, in UTC") from None
    if ends and len(text) == len("2026-03-02"):
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _told(found: dict[str, Any]) -> str:
    if found["verdict"] != "identical":
        return f"{found['strategy_id']} diverges: {found['divergence']['cause']}: {found['divergence']['what']}"
    lines = [f"{found['strategy_id']}: identical, byte by byte"]
    for name, count in found["counts"].items():
        digest = found["streams"].get(name)
        lines.append(f"  {count:>9} {name}" + (f"   sha256 {digest}" if digest else ""))
    lines += [f"  {place} offsets {first} to {last}" for place, (first, last) in found["offsets"].items()]
    lines.append(f"  code {' then '.join(found['code']['journalled']) or 'not journalled'}")
    lines.append(f"  now  {found['code']['now']}")
    lines.append(f"  parameters sha256 {found['streams']['config']}")
    lines += [f"  note: {note}" for note in found["notes"]]
    return "\n".join(lines)
