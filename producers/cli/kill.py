"""`scizor kill` and `scizor arm`: stop at once, and let trade again with care."""

import asyncio
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import EnvironmentUnhealthyError, RefusedError, UsageError
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from infra.settings import Settings

_WATCH_SECONDS = 0.1
_REASON_MAX = 400

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


class Scope(StrEnum):
    """What a kill may be of."""

    ACCOUNT = "account"
    STRATEGY = "strategy"
    SYMBOL = "symbol"


ScopeOption = Annotated[Scope | None, typer.Option(help="Stop only this; without it, everything.")]
Name = Annotated[str, typer.Argument(metavar="[NAME]", help="Which account, strategy or symbol.")]


def kill(
    name: Name = "",
    scope: ScopeOption = None,
    reason: Annotated[str, typer.Option(help="Why; it is written beside the kill.")] = "killed from the command line",
    wait: Annotated[float, typer.Option(min=0, max=60, help="Seconds to watch until no order is open.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Stop sending orders and cancel the open ones, at once; needs neither Kafka nor PostgreSQL.

    Survives restarts of everything until `scizor arm`. A --scope account without NAME is the gateway's account.
    """
    from infra import kill_line
    from infra.clock import SystemClock, SystemEntropy
    from infra.kill import Kill
    from producers.cli.person import person

    settings = load_settings()
    wanted = Kill(
        kill_id=SystemEntropy().new_id(),
        scope=_scope(scope, name),
        reason=_reason(reason),
        by=person(),
        at=SystemClock().now(),
    )
    answer = asyncio.run(kill_line.kill(settings.home, wanted))
    if not as_json:
        _show_kill(answer)
    state = {} if answer["by_flag_alone"] else asyncio.run(_watched(settings, wait))
    doubt = asyncio.run(_doubt(settings, answer["kill"], state)) if name else ""
    if as_json:
        print(json.dumps({**answer, "state": state, "warning": doubt}, indent=2))
    else:
        _show_cancels(answer["kill"], state, doubt)
    if answer["by_flag_alone"]:
        raise EnvironmentUnhealthyError(
            f"{answer['why']}; the flag is set all the same: the executor sends nothing and cancels its own orders, "
            "and orders of others are cancelled once the kill switch runs"
        )


def arm(
    name: Name = "",
    scope: Annotated[Scope | None, typer.Option(help="Arm only this; without it, all that was killed.")] = None,
    everything: Annotated[bool, typer.Option("--global", help="Arm only what was killed as a whole.")] = False,
    reason: Annotated[str, typer.Option(help="Why it may trade again. Needed.")] = "",
    key_file: Annotated[
        Path | None, typer.Option(help="File with an API key of the role admin; else api-key in the state folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let what was killed trade again; for admins, with a reason. Halts stay: `scizor live arm` lifts those."""
    from infra import kill_line
    from infra.kill_line import KillRefusedError

    if not reason.strip():
        raise UsageError("--reason: say why it may trade again; it is written beside the change")
    if scope is not None and everything:
        raise UsageError("name a --scope or --global, not both")
    settings = load_settings()
    request: dict[str, Any] = {"do": "arm", "reason": _reason(reason), "by": _admin(settings, key_file)}
    if scope is not None or everything:
        request["scope"] = _scope(scope, name)
    try:
        answer = asyncio.run(kill_line.ask(settings.home, request))
    except KillRefusedError as error:
        raise RefusedError(str(error)) from None
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    print(f"armed: {', '.join(answer['armed'])}")
    if answer["still_killed"]:
        print(f"still killed: {', '.join(answer['still_killed'])}")


def _scope(scope: Scope | None, name: str) -> str:
    from infra.kill import scope_of

    if scope is None and name:
        raise UsageError(f"{name!r} of what? write --scope account, strategy or symbol before it")
    return "account:" if scope is Scope.ACCOUNT and not name else scope_of(scope.value if scope else "", name)


def _reason(text: str) -> str:
    if len(text) > _REASON_MAX:
        raise UsageError(f"--reason: at most {_REASON_MAX} characters")
    return text.strip()


def _admin(settings: "Settings", key_file: Path | None) -> str:
    """Whose admin key it is; refuses any other."""
    from infra.api_keys import Role
    from infra.clock import SystemClock
    from infra.kill import as_name
    from producers.cli.keys import key_of
    from producers.cli.person import person

    file = key_file or settings.home.resolve() / "api-key"
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"arming needs an admin's API key, and {file} cannot be read: {error}") from None
    record = key_of(text)
    if record is None or not record.opens(text, SystemClock().now()):
        raise RefusedError(f"the API key in {file} is unknown, revoked or expired: `scizor keys list` shows them all")
    if not record.role.includes(Role.ADMIN):
        raise RefusedError(f"the API key in {file} has the role {record.role}: arming needs admin")
    return as_name(f"{person()} with key {record.key_id}")


async def _watched(settings: "Settings", seconds: float) -> dict[str, Any]:
    """How things stand once nothing is open, or when the time is over."""
    from infra import kill_line
    from infra.clock import SystemClock

    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while True:
        state = await kill_line.ask(settings.home, {"do": "state"})
        is_global = any(each["scope"] == "global" for each in state["kills"])
        done = state["open_orders"] == 0 if is_global else not state["unconfirmed"]
        if done or clock.monotonic() >= deadline:
            return state
        await asyncio.sleep(_WATCH_SECONDS)


async def _doubt(settings: "Settings", kill: dict[str, Any], state: dict[str, Any]) -> str:
    """What makes the name look mistyped; looked for after the kill, and only where no order was found of it."""
    from producers.cli.kill_names import known_names, warning

    if kill["scope"] == "global" or _cancels(kill, state):
        return ""
    return warning(kill["scope"], await known_names(settings, kill["scope"].partition(":")[0]))


def _cancels(kill: dict[str, Any], state: dict[str, Any]) -> int | None:
    """How many orders the executor has asked the broker to cancel; None: it has not told, or everything is killed."""
    cancels: int | None = state.get("cancels", {}).get(kill["kill_id"])
    return cancels


def _show_kill(answer: dict[str, Any]) -> None:
    """Told at once: before anybody looks how far it is."""
    scope = answer["kill"]["scope"]
    if answer["by_flag_alone"]:
        print(f"{scope} is killed, by its flag alone", flush=True)
        return
    print(f"{scope} is killed: acknowledged in {answer['acknowledged_ms']:.1f} ms", flush=True)
    if not answer["fenced"]:
        print("the executor did not let go of the socket in time: what it sends all the same is cancelled again")


def _show_cancels(kill: dict[str, Any], state: dict[str, Any], doubt: str) -> None:
    from producers.cli.kill_names import arming

    if state:
        others = [each["scope"] for each in state["kills"] if each["scope"] != kill["scope"]]
        if others:
            print(f"killed too: {', '.join(others)}")
        print(_how_far(kill, state))
        alone = kill["scope"] != "global" and not others
        lifts = arming(kill["scope"]) if alone else '`scizor arm --reason "..."`'
        print(f"{lifts} lets it trade again", file=sys.stderr)
    if doubt:
        print(f"warning: {doubt}", file=sys.stderr)


def _how_far(kill: dict[str, Any], state: dict[str, Any]) -> str:
    if state["open_orders"] is not None:
        return f"open orders at the gateway: {state['open_orders']}"
    if state["unconfirmed"]:
        return "the executor has not confirmed the cancels yet: `scizor status` shows when"
    if "global" in [each["scope"] for each in state["kills"]]:
        return f"open orders cannot be seen: the gateway is {state['gateway']}"
    orders = _cancels(kill, state)
    if orders == 0:
        return "no order of it was open"
    counted = {None: "orders", 1: "one open order"}.get(orders, f"{orders} open orders")
    return f"the executor has asked the broker to cancel its {counted} of it"
