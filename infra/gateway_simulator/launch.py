"""Starting the simulator from a command line, and stopping it on a signal."""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from infra import logs
from infra.clock import SystemClock, SystemEntropy
from infra.errors import UsageError
from infra.gateway_simulator.accounts.commissions import Schedule
from infra.gateway_simulator.accounts.opened import opening
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.instruments.calendar import NEW_YORK, ib_text
from infra.gateway_simulator.protocol.pacing import Pacing
from infra.gateway_simulator.server import Address, SimulatorServer
from infra.settings import Settings
from infra.signals import ended_by_signals

LATENCY_MAX_MS = 3_600_000


def market_time(text: str) -> float:
    """The epoch second of an ISO time; New York's where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--now {text!r} is not a time: write it as 2013-02-28T09:25:00-05:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=NEW_YORK)).timestamp()


def parser(settings: Settings) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "python -m infra.gateway_simulator", description="An IB gateway for tests and demos."
    )
    made.add_argument("--host", default="127.0.0.1", help="address to listen on")
    made.add_argument("--port", type=int, default=settings.ib_port, help="port to listen on; 0 takes a free one")
    made.add_argument("--data", type=Path, help="folder of SYMBOL.csv files: time,open,high,low,close,volume")
    made.add_argument("--now", default=settings.simulator_now, help="market time at the start")
    made.add_argument("--speed", type=float, default=settings.simulator_speed, help="market seconds per second")
    made.add_argument("--step", action="store_true", help="market time moves by the control port alone")
    made.add_argument("--seed", type=int, default=settings.simulator_seed, help="seed of all that is invented")
    made.add_argument("--account", default="DU1234567", help="code of the account")
    made.add_argument("--cash", default="1000000", help="cash of the account at the start, in USD")
    made.add_argument(
        "--accounts",
        action="append",
        default=[],
        metavar="CODE:CUR=CASH",
        help="an account instead, several times if wanted: DU1:USD=1000000,AUD=5000/cash; the first currency is the "
        "base, /cash makes it an account without margin",
    )
    made.add_argument("--commissions", default="fixed", help="IB's schedule: fixed, tiered")
    made.add_argument("--ledger", type=Path, help="file that gets a JSON line for everything that happens")
    made.add_argument("--state", type=Path, help="file by which the next start goes on where this one ended")
    made.add_argument("--pacing", default="today", help="limits on history: today (bars of 30 s or less), strict, off")
    made.add_argument("--soft-delay", type=float, default=0.0, help="seconds that larger bars wait after 60 in 10 min")
    made.add_argument(
        "--permissions", default="", help="not seen live: SYMBOL=delayed|api|part|none, with commas between"
    )
    made.add_argument("--latency", type=float, default=0.0, help="market milliseconds of orders to the exchange")
    made.add_argument("--faults", help="cassette of faults: the name of one that comes with it, or a YAML file")
    made.add_argument("--control-port", type=int, default=0, help="port for tests; needs --control-token-file")
    made.add_argument("--control-token-file", type=Path, help="file of mode 0600 with the control port's token")
    return made


def permissions_of(text: str) -> dict[str, str]:
    """Symbols and what is permitted of them: IBM=delayed,MSFT=none."""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    return {symbol.strip().upper(): word.strip().lower() for symbol, _, word in pairs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The options of the command line, as they were written."""

    host: str
    port: int
    data: Path | None
    now: str
    speed: float
    step: bool
    seed: int
    account: str
    cash: str
    accounts: list[str]
    commissions: str
    ledger: Path | None
    state: Path | None
    pacing: str
    soft_delay: float
    permissions: str
    latency: float
    faults: str | None
    control_port: int
    control_token_file: Path | None


def chosen(choices: Choices) -> tuple[Options, Address]:
    """Options and address, once every choice makes sense."""
    if choices.speed <= 0:
        raise UsageError("--speed must be greater than 0; --step stops market time")
    if choices.control_port and choices.control_token_file is None:
        raise UsageError("--control-port needs --control-token-file")
    try:
        cash = Decimal(choices.cash)
    except InvalidOperation:
        raise UsageError(f"--cash {choices.cash!r} is not a number") from None
    if choices.pacing not in tuple(Pacing) or choices.soft_delay < 0:
        raise UsageError(f"--pacing is one of {', '.join(Pacing)}, and --soft-delay is 0 or more")
    if not 0 <= choices.latency <= LATENCY_MAX_MS:
        raise UsageError(f"--latency {choices.latency} is not within 0..{LATENCY_MAX_MS} milliseconds")
    if choices.commissions not in tuple(Schedule):
        raise UsageError(f"--commissions is one of {', '.join(Schedule)}, not {choices.commissions!r}")
    options = Options(
        start=market_time(choices.now),
        speed=0.0 if choices.step else choices.speed,
        seed=choices.seed,
        account=choices.account,
        cash=cash,
        accounts=tuple(opening(each) for each in choices.accounts),
        commissions=Schedule(choices.commissions),
        data=choices.data,
        ledger=choices.ledger,
        state=choices.state,
        pacing=Pacing(choices.pacing),
        soft_delay=choices.soft_delay,
        permissions=permissions_of(choices.permissions),
        latency=choices.latency / 1000,
        faults=choices.faults,
    )
    return options, Address(choices.host, choices.port, choices.control_port, choices.control_token_file)


async def serve(options: Options, address: Address) -> None:
    """Until a signal asks to stop."""
    gateway = Gateway(options, SystemClock(), SystemEntropy())
    server = SimulatorServer(gateway, address)
    await server.start()
    log = logs.configure(Settings(), "gateway_simulator")
    control = server.control.port if server.control is not None else None
    market = ib_text(gateway.market_now())
    log.info("gateway simulator listens", port=server.port, control_port=control, market_time=market)
    serving = asyncio.current_task()
    assert serving is not None, "serve runs in a task"
    with ended_by_signals(serving.cancel):
        try:
            await server.serve()
        except asyncio.CancelledError:
            log.info("gateway simulator stops")
        finally:
            await server.stop()


def main(argv: Sequence[str] | None = None) -> None:
    options, address = chosen(Choices(**vars(parser(Settings()).parse_args(argv))))
    asyncio.run(serve(options, address))
