"""`scizor db`: the tables, up to date, back again, or made anew from the topics."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from producers.cli.config import load_settings

if TYPE_CHECKING:
    from infra.migrate import Standing

app = typer.Typer(no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.callback()
def db() -> None:
    """The database: migrations up and down, and a rebuild from the topics."""


@app.command()
def upgrade(as_json: AsJson = False) -> None:
    """Bring the tables up to date; creates them in an empty database."""
    from infra import migrate

    _tell(migrate.upgrade(_address()), as_json)


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(metavar="REV", help="A revision like 0001; `base` leaves no table.")],
    as_json: AsJson = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: rows of tables that go are lost.")] = False,
) -> None:
    """Take the tables back to an earlier revision."""
    from infra import migrate

    address = _address()
    if not yes:
        typer.confirm(f"Go back to revision {revision}? Rows of tables that go are lost", abort=True, err=True)
    _tell(migrate.downgrade(address, revision), as_json)


@app.command()
def rebuild(as_json: AsJson = False) -> None:
    """Empty market, reference, strategy and research tables and fill them from the topics again.

    Orders, executions, positions and risk's books need no command: in a database that is empty the services fill them
    from the topics when they start, before they decide or send anything.
    """
    from infra.clock import SystemClock
    from infra.embedded.stack import running_settings
    from infra.rebuild import rebuild as rebuild_tables
    from producers.cli.records import run, table, to_json
    from producers.cli.telling import Telling

    settings = running_settings(load_settings())
    telling = Telling(SystemClock())
    with telling.phase("rebuild", "Rebuilding the tables from the topics"):
        work = rebuild_tables(settings, on_progress=lambda topic, count: telling.step(f"{topic} {count:,}"))
        rebuilt = run(work, settings)
    if as_json:
        print(to_json(dataclasses.asdict(rebuilt) | {"seconds": telling.seconds["rebuild"]}))
        return
    topics = [[name, f"{count:,}", f"{rebuilt.malformed[name]:,}"] for name, count in rebuilt.records.items()]
    print(table([["TOPIC", "RECORDS", "MALFORMED"], *topics]))
    print(table([["TABLE", "ROWS"], *([name, f"{count:,}"] for name, count in rebuilt.rows.items())]))


def _address() -> str:
    """Where the database is: the settings' own, or that of the running stack."""
    from infra.embedded.stack import running_settings

    settings = load_settings()
    given = settings.database_url.get_secret_value()
    return given or running_settings(settings).database_url.get_secret_value()


def _tell(standing: "Standing", as_json: bool) -> None:
    from producers.cli.records import to_json

    if as_json:
        print(to_json(dataclasses.asdict(standing)))
        return
    print(f"the tables are at revision {standing.revision or 'base'}; the newest is {standing.newest}")
