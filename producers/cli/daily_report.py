"""`scizor live report`: what a day of trading was, as a page, as JSON, and in a few lines."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from infra.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all that the page shows.")]


def report(
    account: Annotated[str, typer.Option(help="Account; else the only one there is.")] = "",
    strategy: Annotated[str, typer.Option(help="Only what this strategy did; else all of the account.")] = "",
    day: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Market day in New York; else the last on which anything happened, or now."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the page; else under reports/ in SCIZOR_HOME.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The day's report: profit, trades, costs, slippage, denials, incidents, reconciliation.

    One is made by itself after each close, for the account and for each strategy; this makes one now.
    """
    from infra.day_reports import save
    from infra.embedded.running import running_settings
    from producers.cli.records import run

    settings = running_settings(load_settings())
    found, page = run(_made(settings, account, strategy or None, day.date() if day else None), settings)
    place = _written(page, out) if out is not None else save(settings.home, found, page)
    print(json.dumps(found, indent=2) if as_json else _summary(found, place))


def _written(page: str, out: Path) -> Path:
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from None
    return out


async def _made(
    settings: "Settings", account: str, strategy_id: str | None, day: date | None
) -> tuple[dict[str, Any], str]:
    """The document and the page."""
    from engine.daily_document import document
    from engine.report.daily import daily
    from infra import day_material
    from infra.clock import SystemClock
    from infra.store.database import Store

    now = SystemClock().now()
    store = Store(settings, "cli", pool_size=1)
    try:
        account_id = account or _only(await day_material.accounts(store))
        wanted = await day_material.day_asked(store, account_id, day, now)
        if wanted is None:
            raise day_material.NothingHappenedError(account_id)
        material = await day_material.day_material(settings, store, account_id, wanted, now, strategy_id)
    except day_material.UnknownTraderError as unknown:
        if await _is_deployed(settings, unknown.strategy_id, unknown.account_id):
            raise day_material.NotTradedYetError(unknown.strategy_id, unknown.account_id) from None
        raise
    finally:
        await store.close()
    found = document(material)
    return found, daily(found)


async def _is_deployed(settings: "Settings", strategy_id: str, account_id: str) -> bool:
    """By the newest state of every strategy, which only its topic has."""
    from infra.replay import fold
    from infra.topics import load_catalogue
    from schemas.strategy import StrategyState

    accounts = {}
    async for event, _ in fold(settings, [load_catalogue().topic_of(StrategyState).name]):
        if isinstance(event, StrategyState):
            accounts[event.strategy_id] = event.deployment.account_id
    return accounts.get(strategy_id) == account_id


def _only(accounts: list[str]) -> str:
    if len(accounts) == 1:
        return accounts[0]
    known = ", ".join(accounts) or "none yet: is the executor connected? `scizor status` tells"
    raise UsageError(f"which account? --account one of: {known}")


def _summary(found: dict[str, Any], place: Path) -> str:
    pnl, costs, currency = found["pnl"], found["slippage"], found["currency"]
    lines = {
        "day": f"{found['day']}, account {found['account_id']}, {found['strategy_id'] or 'all strategies'}",
        "profit": f"{_money(pnl['net'])} {currency}",
        "realised": _money(pnl["realised"]),
        "unrealised": _money(pnl["unrealised"]),
        "commissions": f"{_money(pnl['commission'])} for {pnl['executions']} executions",
        "round trips": str(found["trades"]["count"]),
        "slippage": f"{_money(costs['total'])} over {costs['count']} orders{_better(costs['total'])}",
        "denied": ", ".join(f"{name} {count}" for name, count in found["denials"]["by_reason"].items()) or "nothing",
        "incidents": str(found["incidents"]["count"]),
        "books": _books(found["reconciliation"]),
        "page": str(place),
    }
    notes = [f"note: {each}" for each in found["to_know"]]
    return "\n".join([*(f"{name:<14}{value}" for name, value in lines.items()), *notes])


def _books(found: dict[str, Any] | None) -> str:
    """Of which moment the verdict is, and what the executor's own comparison has done about it."""
    from engine.trading_state import RECONCILER
    from schemas.account import TradingMode

    if found is None:
        return "the broker has told nothing"
    moment = f"{datetime.fromisoformat(found['told_at']):%H:%M:%S} UTC"
    halted = found["mode"] == TradingMode.HALTED and found["by"] == RECONCILER
    because = f"; the executor has halted the account: {found['reason']}" if halted else ""
    if found["agrees"] is None:
        return f"not compared since {moment}: {found['not_compared']}{because}"
    verdict = f"{'agree' if found['agrees'] else 'DO NOT AGREE'}, as of {moment}"
    since = found["executions_since"]
    return (
        verdict + (f", {since} execution{'s' if since > 1 else ''} since then not compared" if since else "") + because
    )


def _better(cost: str | None) -> str:
    return " (minus: better than decided)" if cost is not None and round(Decimal(cost), 2) < 0 else ""


def _money(amount: str | None) -> str:
    return "not known" if amount is None else f"{Decimal(amount):z,.2f}"
