"""`scizor ib-simulator`: a simulated IB gateway that any IB API client can connect to."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from producers.cli.config import load_settings

Flag = typer.Option


def simulator(
    host: Annotated[str, Flag(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, Flag(help="Port to listen on; 0 takes a free one. Default: SCIZOR_IB_PORT.")] = None,
    data: Annotated[Path | None, Flag(help="Folder of SYMBOL.csv files: time,open,high,low,close,volume.")] = None,
    now: Annotated[str | None, Flag(help="Market time at the start. Default: SCIZOR_SIMULATOR_NOW.")] = None,
    speed: Annotated[float | None, Flag(help="Market seconds per second. Default: SCIZOR_SIMULATOR_SPEED.")] = None,
    step: Annotated[bool, Flag("--step", help="Market time moves by the control port alone.")] = False,
    seed: Annotated[int | None, Flag(help="Seed of all that is invented. Default: SCIZOR_SIMULATOR_SEED.")] = None,
    account: Annotated[str, Flag(help="Code of the account.")] = "DU1234567",
    cash: Annotated[str, Flag(help="Cash of the account at the start, in USD.")] = "1000000",
    accounts: Annotated[
        list[str] | None,
        Flag(
            help="An account instead of --account and --cash, several times if wanted: DU1:USD=1000000,AUD=5000/cash."
        ),
    ] = None,
    commissions: Annotated[str, Flag(help="IB's schedule: fixed or tiered.")] = "fixed",
    ledger: Annotated[Path | None, Flag(help="File that gets a JSON line for everything that happens.")] = None,
    state: Annotated[Path | None, Flag(help="File by which the next start goes on where this one ended.")] = None,
    pacing: Annotated[
        str, Flag(help="Limits on requests for history: today (bars of 30 seconds or less), strict (all), off.")
    ] = "today",
    soft_delay: Annotated[float, Flag(help="Seconds that larger bars wait once 60 came within ten minutes.")] = 0.0,
    permissions: Annotated[
        str, Flag(help="What is not seen live: SYMBOL=delayed, api, part or none, with commas between.")
    ] = "",
    latency: Annotated[float, Flag(help="Market milliseconds that orders take to the exchange.")] = 0.0,
    faults: Annotated[
        str | None, Flag(help="Cassette of faults: one of docs/faults.md by its name, or a YAML file.")
    ] = None,
    control_port: Annotated[int, Flag(help="Port for tests; needs --control-token-file. 0 leaves it closed.")] = 0,
    control_token_file: Annotated[Path | None, Flag(help="File of mode 0600 with the control port's token.")] = None,
) -> None:
    """Serve IB's wire protocol until Ctrl-C: real daily prices of five symbols, everything else derived or invented."""
    from infra.gateway_simulator.launch import Choices, chosen, serve  # the help must not wait for numpy

    settings = load_settings()
    choices = Choices(
        host=host,
        port=settings.ib_port if port is None else port,
        data=data,
        now=settings.simulator_now if now is None else now,
        speed=settings.simulator_speed if speed is None else speed,
        step=step,
        seed=settings.simulator_seed if seed is None else seed,
        account=account,
        cash=cash,
        accounts=accounts or [],
        commissions=commissions,
        ledger=ledger,
        state=state,
        pacing=pacing,
        soft_delay=soft_delay,
        permissions=permissions,
        latency=latency,
        faults=faults,
        control_port=control_port,
        control_token_file=control_token_file,
    )
    asyncio.run(serve(*chosen(choices)))
