"""The `scizor` command: a table of commands, each loaded only when it is called."""

import importlib
import sys
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from infra.errors import ScizorError
from producers.cli.interrupts import is_interrupt


@dataclass(frozen=True)
class Entry:
    """Where a command lives (`module:attribute`, a typer.Typer or a function) and what the help says about it."""

    where: str
    help: str
    panel: str


MAIN = "The main job"
SYSTEM = "The system"
DATA = "Data"
TRADING = "Strategies and trading"
TOOLS = "Tools"

# One line per command or group; nothing is imported before it is called.
COMMANDS = {
    "demo": Entry(
        "producers.cli.demo:demo", "Everything, end to end, on real prices: collect, backtest, trade, check.", MAIN
    ),
    "test": Entry("producers.cli.testing:app", "Run all tests; --fast for those that need nothing running.", MAIN),
    "up": Entry("producers.cli.stack:up", "Start Kafka, PostgreSQL, the gateway simulator and all services.", SYSTEM),
    "down": Entry("producers.cli.stack:down", "Stop what `up` started.", SYSTEM),
    "status": Entry("producers.cli.stack:status", "What is running, with addresses, health and memory.", SYSTEM),
    "logs": Entry("producers.cli.stack:logs", "Show the log of one service.", SYSTEM),
    "doctor": Entry("producers.cli.doctor:doctor", "Check this machine and the running system.", SYSTEM),
    "ib-simulator": Entry(
        "producers.cli.simulator:simulator", "A simulated IB gateway, for any client of IB's API.", TOOLS
    ),
    "alerts": Entry("producers.cli.alerts:app", "Alerts to people: send a test to every address.", SYSTEM),
    "config": Entry("producers.cli.config:app", "Settings and where each comes from.", SYSTEM),
    "keys": Entry("producers.cli.keys:app", "API keys of the HTTP services: create, list, revoke.", SYSTEM),
    "symbols": Entry("producers.cli.symbols:app", "The symbol registry: populate, add, list, validate, remove.", DATA),
    "data": Entry("producers.cli.data:app", "Quality, completeness, export and archive of what is stored.", DATA),
    "collect": Entry("producers.cli.collect:app", "Market data from the gateway into the topics.", DATA),
    "strategy": Entry("producers.cli.strategy:app", "Strategies and their parameters.", TRADING),
    "backtest": Entry("producers.cli.backtest:app", "Run a strategy over past bars; list, show, compare.", TRADING),
    "optimize": Entry(
        "producers.cli.optimize:optimize",
        "Search parameters, and be told what the best are worth.",
        TRADING,
    ),
    "live": Entry("producers.cli.live:app", "Strategies that trade, limits, and whether trading is allowed.", TRADING),
    "replay": Entry("producers.cli.replay:app", "Do again what was done live, and compare: the parity proof.", TRADING),
    "kill": Entry("producers.cli.kill:kill", "Stop sending orders and cancel the open ones, at once.", TRADING),
    "arm": Entry("producers.cli.kill:arm", "Let what was killed trade again; for admins, with a reason.", TRADING),
    "bench": Entry("producers.cli.bench:bench", "Measure this machine, each figure beside its raw limit.", TOOLS),
    "faultlab": Entry(
        "producers.cli.faultlab:faultlab", "Faults of every kind at the order path, judged by the ledger.", TOOLS
    ),
    "topics": Entry("producers.cli.topics:app", "Topics: apply, list, describe, tail, replay.", TOOLS),
    "db": Entry("producers.cli.db:app", "The database: upgrade, downgrade, rebuild from the topics.", TOOLS),
    "dlq": Entry("producers.cli.dlq:app", "Records that no service could handle: list, show, replay.", TOOLS),
    "docs": Entry("producers.cli.docs:app", "The AsyncAPI document of all topics; the table of indicators.", TOOLS),
}


class _Group(TyperGroup):
    """A group that knows the commands beside it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r} here: it is `scizor {args[0]}`")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="scizor",
    help="Event-driven algorithmic trading for Interactive Brokers, over Apache Kafka.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 environment not healthy, 4 refused by risk, the gate or a "
    "safety rule, 130 interrupted. --debug anywhere shows tracebacks.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _register(name: str, entry: Entry) -> None:
    """A stand-in with the help line, which hands all its arguments to the real command."""

    def call(context: typer.Context) -> None:
        _load(COMMANDS[name])(args=context.args, prog_name=f"scizor {name}")

    app.command(
        name,
        help=entry.help,
        rich_help_panel=entry.panel,
        add_help_option=False,
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "allow_interspersed_args": False,
        },
    )(call)


def _load(entry: Entry) -> Any:
    module, _, attribute = entry.where.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        found.pretty_exceptions_enable = False
        found.info.cls = _Group
        return found
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command()(found)
    return alone


for _name, _entry in COMMANDS.items():
    _register(_name, _entry)


def main() -> None:
    """Run one command line; every failure becomes a line on stderr and an exit code."""
    arguments = [each for each in sys.argv[1:] if each != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(args=arguments, prog_name="scizor")
    except ScizorError as error:
        if debug:
            raise
        print(f"scizor: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # the last stop: a bug is told in one line, --debug tells all
        if is_interrupt(error):
            sys.exit(130)
        if debug:
            raise
        print(f"scizor: unexpected {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
