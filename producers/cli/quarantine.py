"""`scizor data quarantine`: what was found about market data, and what a person decides about it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings
from producers.cli.person import person

if TYPE_CHECKING:
    from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, help="What was found about market data: list, show, release, reject.")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
FindingId = Annotated[str, typer.Argument(metavar="ID", help="As `scizor data quarantine list` shows it.")]
By = Annotated[str, typer.Option("--by", help="Who decides; else your login name.")]

_REASON_MAX = 60


@app.command("list")
def list_findings(
    symbol: Annotated[str, typer.Option(help="Only of this symbol.")] = "",
    rule: Annotated[str, typer.Option(help="Only of this rule; `scizor data quarantine rules` explains them.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Decided ones and warnings too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """What was kept out, or may be a split, and nobody has decided yet; the latest first."""
    from pydantic_core import to_jsonable_python

    from infra.store.findings import Findings
    from producers.cli import shelf_desk
    from producers.cli.records import run, table, to_json
    from schemas.market import QuarantineRule

    if rule and rule not in [each.value for each in QuarantineRule]:
        raise UsageError(f"no rule {rule!r}: choose one of {', '.join(QuarantineRule)}")
    settings = _running()
    wanted = Findings(rule=rule or None, waits=not every)
    rows = [dict(row) for row in run(shelf_desk.findings(settings, symbol, wanted, limit), settings)]
    if as_json:
        print(to_json(to_jsonable_python({"findings": rows}), indent=2))
    elif rows:
        heads = ["quarantine_id", "symbol", "rule", "event_time", "resolution", "reason"]
        if not any(row["resolution"] for row in rows):
            heads.remove("resolution")
        print(table([[head.upper() for head in heads], *([_cell(row[head]) for head in heads] for row in rows)]))
    else:
        print("nothing waits for a decision; --all shows what else was found")


@app.command()
def show(quarantine_id: FindingId, as_json: AsJson = False) -> None:
    """One finding with the record as the gateway gave it."""
    from pydantic_core import to_jsonable_python

    from producers.cli import shelf_desk
    from producers.cli.records import run, to_json

    settings = _running()
    row = dict(run(shelf_desk.one_finding(settings, quarantine_id), settings))
    if as_json:
        print(to_json(to_jsonable_python(row), indent=2))
        return
    for name, value in row.items():
        if value is not None:
            print(f"{name:<14} {value}")


@app.command()
def release(quarantine_id: FindingId, by: By = "", as_json: AsJson = False) -> None:
    """Let a bar through: it is published, as it was, to the topic that it was meant for. Closes a warning."""
    _decide(quarantine_id, by, release=True, as_json=as_json)


@app.command()
def reject(quarantine_id: FindingId, by: By = "", as_json: AsJson = False) -> None:
    """Keep a record out for good."""
    _decide(quarantine_id, by, release=False, as_json=as_json)


@app.command()
def rules(as_json: AsJson = False) -> None:
    """The rules: what each looks at, and what becomes of the record."""
    from infra.quality.rules import RULES
    from producers.cli.records import table, to_json

    rows = [
        {"rule": each.name, "looks_at": each.looks_at, "breaks_when": each.breaks, "severity": each.severity,
         "effect": each.effect}
        for each in RULES.values()
    ]  # fmt: skip
    if as_json:
        print(to_json({"rules": rows}, indent=2))
        return
    print(table([["RULE", "SEVERITY", "EFFECT", "BROKEN WHEN"], *(
        [row["rule"], row["severity"], row["effect"], row["breaks_when"]] for row in rows
    )]))  # fmt: skip


def _decide(quarantine_id: str, by: str, *, release: bool, as_json: bool) -> None:
    from producers.cli import shelf_desk
    from producers.cli.records import run, to_json

    settings = _running()
    decision = run(shelf_desk.decide(settings, quarantine_id, by or person(), release=release), settings)
    if as_json:
        print(to_json(decision.model_dump(mode="json"), indent=2))
    else:
        print(f"{quarantine_id} is {'released' if release else 'rejected'}")


def _running() -> "Settings":
    from infra.embedded.running import running_settings

    return running_settings(load_settings())


def _cell(value: object) -> str:
    from producers.cli.records import to_the_second

    if isinstance(value, datetime):
        return to_the_second(value)
    return str(value if value is not None else "")[:_REASON_MAX]
