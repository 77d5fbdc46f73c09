"""What a person tells live trading, and what the topics say about it, given back as plain data."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from pydantic import ValidationError

from engine.risk_ceilings import STARTING, over_ceilings
from engine.trading_state import follow, why_stopped
from infra.errors import RefusedError, ScizorError, UsageError
from infra.kill import KillFlag
from infra.replay import fold
from infra.settings import Settings
from producers.cli.desk import Desk, Feed, NoAnswerError
from producers.cli.held_up import held_up_by
from producers.cli.person import person
from producers.cli.records import run as run_with_kafka
from schemas.account import AccountState, Position, RiskLimits, TradingMode, TradingState
from schemas.event import Event
from schemas.strategy import (
    Deploy,
    Pause,
    Promote,
    Reconfigure,
    Resume,
    RunningState,
    Start,
    Stop,
    StrategyCommand,
    StrategyState,
)

_STATE = "strategy.state.v1"
_ANSWER_SECONDS = 30.0
_COMMANDS: dict[str, type[Stop | Pause | Resume | Reconfigure | Promote]] = {
    "stop": Stop,
    "pause": Pause,
    "resume": Resume,
    "reconfigure": Reconfigure,
    "promote": Promote,
}
_VIEWED = (_STATE, "trading.state.v1", "risk.limits.v1", "trading.accounts.v1", "trading.positions.v1")


class StrategyFailedError(RefusedError):
    def __init__(self, strategy_id: str, why: str) -> None:
        super().__init__(f"strategy {strategy_id} failed: {why}")


class CommandRefusedError(RefusedError):
    def __init__(self, strategy_id: str, why: str) -> None:
        super().__init__(f"{strategy_id} refuses: {why}")


@dataclass(frozen=True)
class Deployment:
    """What a new deployment consists of; an empty account is the only one there is."""

    strategy: str
    parameters: dict[str, Any]
    symbols: tuple[str, ...]
    account_id: str
    quantity: float
    trigger: Literal["bars", "ticks"]
    bar_size_seconds: int
    warmup_bars: int
    shadow: bool = False
    capital: Decimal | None = None
    source: str = ""
    """Text of a strategy that does not ship."""


@dataclass(frozen=True)
class _View:
    """The newest of everything that compacted topics say."""

    strategies: dict[str, StrategyState]
    states: dict[str, TradingState]
    limits: dict[str, RiskLimits]
    accounts: dict[str, AccountState]
    positions: dict[tuple[str, int], Position]

    def account(self, wanted: str) -> str:
        """The account that is meant. One that nobody has told is believed as long as none is."""
        if wanted and (wanted in self.accounts or not self.accounts):
            return wanted
        if len(self.accounts) == 1 and not wanted:
            return next(iter(self.accounts))
        known = ", ".join(sorted(self.accounts)) or "none yet: is the executor connected? `scizor status` tells"
        raise UsageError(f"{f'no account {wanted!r}' if wanted else 'which account'}? --account one of: {known}")


async def _view(settings: Settings) -> _View:
    view = _View({}, {}, {}, {}, {})
    async for event, _ in fold(settings, _VIEWED):
        match event:
            case StrategyState():
                view.strategies[event.strategy_id] = event
            case TradingState():
                view.states[event.scope] = follow(view.states.get(event.scope), event)
            case RiskLimits():
                view.limits[event.scope] = event
            case AccountState():
                view.accounts[event.account_id] = event
            case Position():
                view.positions[event.account_id, event.contract_id] = event
    return view


def deploy_and_start(settings: Settings, strategy_id: str, deployment: Deployment | None) -> dict[str, Any]:
    """Deploy when there is something to deploy, start, and wait until the strategy runs."""
    return run_with_kafka(_deploy_and_start(settings, strategy_id, deployment), settings)


async def _deploy_and_start(settings: Settings, strategy_id: str, deployment: Deployment | None) -> dict[str, Any]:
    view = await _view(settings)
    if deployment is None and strategy_id not in view.strategies:
        raise UsageError(f"nothing is deployed as {strategy_id!r}: name --symbols to deploy it")
    if deployment is not None:
        from producers.cli.registry_view import refuse_what_is_not_valid, registry  # slow to load: not for a halt

        refuse_what_is_not_valid(deployment.symbols, await registry(settings))
    async with Desk(settings) as desk:
        feed = await desk.feed([_STATE])
        if deployment is not None:
            sha256 = hashlib.sha256(deployment.source.encode()).hexdigest() if deployment.source else ""
            fields = {**vars(deployment), "account_id": view.account(deployment.account_id), "code_sha256": sha256}
            try:
                command = Deploy(strategy_id=strategy_id, **fields, **_command(desk), **_stamp(desk))
            except ValidationError as error:
                raise UsageError(str(error.errors()[0]["msg"])) from None
            await _told(desk, feed, command)
        start = Start(strategy_id=strategy_id, **_command(desk), **_stamp(desk))
        return _answered(settings, view, await _told(desk, feed, start))


def command(settings: Settings, name: str, strategies: Sequence[str], **terms: Any) -> list[dict[str, Any]]:
    """Command strategies, and wait until each has answered. Raises RefusedError with all refusals."""
    return run_with_kafka(_commands(settings, name, strategies, terms), settings)


async def _commands(
    settings: Settings, name: str, strategies: Sequence[str], terms: Mapping[str, Any]
) -> list[dict[str, Any]]:
    view = await _view(settings)
    for strategy_id in strategies:
        if strategy_id not in view.strategies:
            there = ", ".join(sorted(view.strategies)) or "none"
            raise UsageError(f"no strategy {strategy_id!r} is deployed; there are: {there}")
    found: list[dict[str, Any]] = []
    failures: list[ScizorError] = []
    async with Desk(settings) as desk:
        for strategy_id in dict.fromkeys(strategies):
            feed = await desk.feed([_STATE])
            event = _COMMANDS[name](strategy_id=strategy_id, **terms, **_command(desk), **_stamp(desk))
            try:
                found.append(_answered(settings, view, await _told(desk, feed, event)))
            except (CommandRefusedError, StrategyFailedError, NoAnswerError) as failure:
                failures.append(failure)  # the others are told all the same: a stop is to reach every one of them
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise RefusedError("; ".join(map(str, failures)))
    return found


def _answered(settings: Settings, view: _View, told: StrategyState) -> dict[str, Any]:
    return _strategy(told) | {"held_up_by": held_up_by(settings.home, view.states, view.limits, told)}


async def _told(desk: Desk, feed: Feed, command: StrategyCommand) -> StrategyState:
    """Publish a command; how the strategy stands once it has answered it."""

    def answers(event: Event) -> bool:
        ours = isinstance(event, StrategyState) and event.strategy_id == command.strategy_id
        return ours and getattr(event, "last_command", "") == command.command_id

    await desk.publish(command)
    what = f"strategy {command.strategy_id} to take {type(command).__name__}"
    told = await feed.first(answers, seconds=_ANSWER_SECONDS, what=what)
    assert isinstance(told, StrategyState), "only states are waited for"
    if told.state is RunningState.FAILED and not isinstance(command, Stop):
        raise StrategyFailedError(command.strategy_id, told.error or told.refused)
    if told.refused:
        raise CommandRefusedError(command.strategy_id, told.refused)
    return told


def overview(settings: Settings) -> dict[str, Any]:
    """Everything that `scizor live status` shows."""
    view = run_with_kafka(_view(settings), settings)
    return {
        "strategies": [_strategy(view.strategies[name]) for name in sorted(view.strategies)],
        "trading": [_state(view.states[scope]) for scope in sorted(view.states)],
        "limits": [_plain(view.limits[scope]) for scope in sorted(view.limits)],
        "accounts": [_plain(view.accounts[account]) for account in sorted(view.accounts)],
        "positions": [_plain(view.positions[key]) for key in sorted(view.positions) if view.positions[key].quantity],
    }


def set_mode(settings: Settings, scope: str, mode: str, reason: str, *, accepted: Sequence[str] = ()) -> dict[str, Any]:
    """Publish a trading state; `account:` alone means the only account. `accepted`: positions, order-ids.

    `still_stopped` of the answer says what is stopped in other scopes, and what lifts that.
    """
    return run_with_kafka(_set_mode(settings, scope, TradingMode(mode), reason, accepted), settings)


async def _set_mode(
    settings: Settings, scope: str, mode: TradingMode, reason: str, accepted: Sequence[str]
) -> dict[str, Any]:
    view = await _view(settings)
    if scope == "account:":
        scope += view.account("")
    if scope != "global" and scope.partition(":")[0] not in ("account", "strategy", "symbol"):
        raise UsageError(f"no scope {scope!r}: write global, account:ID, strategy:ID or symbol:NAME")
    if mode is not TradingMode.HALTED and (killed := KillFlag(settings.home).read().of((scope,))) is not None:
        raise RefusedError(f"{killed}: `scizor arm` lifts that")
    async with Desk(settings) as desk:
        try:
            state = TradingState(
                scope=scope,
                mode=mode,
                reason=reason,
                by=person(),
                accept_positions="positions" in accepted,
                accept_order_ids="order-ids" in accepted,
                **_stamp(desk),
            )
        except ValidationError as error:
            raise UsageError(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}") from None
        current = view.states.get(scope)
        if current is not None and follow(current, state) != state:
            raise RefusedError(f"{scope} is {current.mode} since {current.event_time:%F %T}Z, which is later than now")
        await desk.publish(state)
    return _state(state) | {"still_stopped": still_stopped(view.states, scope)}


def still_stopped(states: Mapping[str, TradingState], apart_from: str) -> list[str]:
    """What no order passes for the sake of, or only one that reduces, and what lifts that."""
    others = [states[scope] for scope in sorted(states) if scope != apart_from]
    return [
        why_stopped(state.scope, state.mode, state.by, state.reason)
        for state in others
        if state.mode is not TradingMode.ACTIVE
    ]


def change_limits(settings: Settings, account: str, changes: dict[str, str]) -> dict[str, Any]:
    """The limits in force, after `changes` when there are any."""
    return run_with_kafka(_change_limits(settings, account, changes), settings)


async def _change_limits(settings: Settings, account: str, changes: dict[str, str]) -> dict[str, Any]:
    view = await _view(settings)
    scope = f"account:{view.account(account)}"
    before = view.limits.get(scope)
    if not changes:
        if before is None:
            raise UsageError(f"{scope} has no limits, so every order is denied; set some: notional_max=25000")
        return _plain(before)
    allowed = set(RiskLimits.model_fields) - {"type", "scope", "version", "event_time", "ingest_time"}
    for name in changes:
        if name not in allowed:
            raise UsageError(f"no limit {name!r}: there are {', '.join(sorted(allowed))}")
    async with Desk(settings) as desk:
        kept = before.model_dump(include=allowed) if before else STARTING
        version = before.version + 1 if before else 1
        try:
            after = RiskLimits.model_validate({**kept, **changes, "scope": scope, "version": version, **_stamp(desk)})
        except (ValidationError, InvalidOperation) as error:
            first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("?",), "msg": str(error)}
            raise UsageError(f"{first['loc'][0]}: {first['msg']}") from None
        if too_high := over_ceilings({name: getattr(after, name) for name in changes}):
            raise UsageError("; ".join(too_high))
        await desk.publish(after)
    return _plain(after)


def _stamp(desk: Desk) -> dict[str, Any]:
    now = desk.clock.now()
    return {"event_time": now, "ingest_time": now}


def _command(desk: Desk) -> dict[str, Any]:
    return {"command_id": desk.entropy.new_id(), "by": person()}


def _plain(event: Event) -> dict[str, Any]:
    found = event.model_dump(mode="json", exclude={"type", "ingest_time"})
    decimals = {name for name, value in event if isinstance(value, Decimal)}
    return {name: f"{Decimal(value).normalize():f}" if name in decimals else value for name, value in found.items()}


def _state(state: TradingState) -> dict[str, Any]:
    return _plain(state)


def _strategy(told: StrategyState) -> dict[str, Any]:
    shown = _plain(told)
    deployment = shown.pop("deployment")
    del shown["last_command"], shown["refused"]
    wanted = ("strategy", "parameters", "symbols", "account_id", "quantity", "trigger", "bar_size_seconds")
    return shown | {name: deployment[name] for name in wanted}
