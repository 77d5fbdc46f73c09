"""How a person shares capital out over strategies."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from infra.errors import UsageError
from infra.replay import fold
from infra.settings import Settings
from infra.topics import load_catalogue
from producers.cli.desk import Desk
from producers.cli.person import person
from producers.cli.records import run as run_with_kafka
from producers.cli.records import table
from schemas.account import AccountState
from schemas.strategy import AllocationPlan, RunningState, StrategyState


def change_plan(settings: Settings, account: str, shares: Sequence[str], terms: Mapping[str, Any]) -> dict[str, Any]:
    """The plan in force, after the change when shares or a capital are named."""
    return run_with_kafka(_change_plan(settings, account, shares, terms), settings)


async def _change_plan(
    settings: Settings, account: str, shares: Sequence[str], terms: Mapping[str, Any]
) -> dict[str, Any]:
    plans, strategies, accounts = await _known(settings)
    name = account or (accounts[0] if len(accounts) == 1 else "")
    if not name:
        raise UsageError(f"which account? --account one of: {', '.join(accounts) or 'none yet'}")
    before = plans.get(name)
    if not shares and not terms["capital"]:
        if before is None:
            raise UsageError(f"{name} has no plan: scizor live allocate ID=0.6 ID=0.4 --capital 50000")
        return _plain(before, strategies)
    capital = terms["capital"] or (before.capital if before else 0)
    if not capital:
        raise UsageError("how much money is to be shared out? --capital AMOUNT, for instance --capital 50000")
    weights = dict(map(_share, shares)) or (before.weights if before else {})
    if unknown := sorted(set(weights) - set(strategies)):
        raise UsageError(f"not deployed: {', '.join(unknown)}; there are: {', '.join(sorted(strategies)) or 'none'}")
    fields = {**terms, "capital": capital}
    async with Desk(settings) as desk:
        now = desk.clock.now()
        try:
            plan = AllocationPlan(
                account_id=name,
                by=person(),
                weights=weights,
                **fields,
                event_time=now,
                ingest_time=now,
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(f"{'.'.join(map(str, first['loc'])) or 'weights'}: {first['msg']}") from None
        await desk.publish(plan)
    return _plain(plan, strategies)


async def _known(settings: Settings) -> tuple[dict[str, AllocationPlan], dict[str, RunningState], list[str]]:
    plans: dict[str, AllocationPlan] = {}
    strategies: dict[str, RunningState] = {}
    accounts: set[str] = set()
    catalogue = load_catalogue()
    topics = [catalogue.topic_of(kind).name for kind in (AllocationPlan, StrategyState, AccountState)]
    async for event, _ in fold(settings, topics):
        if isinstance(event, AllocationPlan):
            plans[event.account_id] = event
        elif isinstance(event, StrategyState):
            strategies[event.strategy_id] = event.state
        elif isinstance(event, AccountState):
            accounts.add(event.account_id)
    return plans, strategies, sorted(accounts)


def _share(text: str) -> tuple[str, float]:
    name, _, weight = text.partition("=")
    try:
        return name, float(weight or 0.0)
    except ValueError:
        raise UsageError(f"{text!r}: write ID=WEIGHT, for instance crossover=0.6") from None


def shown(plan: Mapping[str, Any]) -> str:
    """A plan as a person reads it."""
    if not Decimal(plan["capital"]):
        return f"{plan['account_id']}: the plan has ended, sizes stay as they are"
    states = plan["states"]
    weights = ((name, f"{weight:g}", states[name]) for name, weight in plan["weights"].items())
    rows = [("STRATEGY", "WEIGHT", "STATE"), *weights]
    head = f"{plan['account_id']}: {plan['capital']} by {plan['method']}, sizes within {plan['band']:.0%}"
    return f"{head}\n{table(rows)}"


def _plain(plan: AllocationPlan, strategies: Mapping[str, RunningState]) -> dict[str, Any]:
    states = {name: strategies[name].value if name in strategies else "not deployed" for name in plan.weights}
    return plan.model_dump(mode="json", exclude={"type", "ingest_time"}) | {"states": states}
