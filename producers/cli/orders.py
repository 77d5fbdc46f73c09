"""`scizor live orders`: how orders stand, and what a person says about one of which nobody can tell."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings
from producers.cli.person import person

if TYPE_CHECKING:
    from infra.settings import Settings
    from schemas.orders import OrderUpdate

app = typer.Typer(add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_ANSWER_SECONDS = 30.0


@app.callback(invoke_without_command=True)
def orders(
    context: typer.Context,
    all_orders: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """How orders stand: without a command, those that may still fill."""
    if context.invoked_subcommand is None:
        found = [each for each in known_orders(_running()) if all_orders or not each.status.final]
        print(json.dumps([_row(each) for each in found], indent=2) if as_json else _table(found))


@app.command()
def resolve(
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="An UNKNOWN order.")],
    finding: Annotated[
        str,
        typer.Option(
            help="never_arrived: the broker has nothing of it. ended: it works no more, what filled counts. "
            "working: it works, and is followed again."
        ),
    ],
    reason: Annotated[str, typer.Option(help="Where you looked, and what you saw; it is written beside it.")],
    permanent_id: Annotated[int, typer.Option(min=0, help="The broker's number of an order that works.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say how an UNKNOWN order stands at the broker: its symbol trades again afterwards."""
    from schemas.resolution import Finding

    if finding not in set(Finding):
        raise UsageError(f"--finding {finding!r}: one of {', '.join(Finding)}")
    told = settle(_running(), order_id, Finding(finding), permanent_id, reason)
    print(json.dumps(_row(told), indent=2) if as_json else f"{order_id} is {told.status}: {told.reason}")


def known_orders(settings: "Settings") -> "list[OrderUpdate]":
    """The newest update of every order, the order of their first."""
    from producers.cli.records import run

    return list(run(_newest(settings), settings).values())


async def _newest(settings: "Settings") -> "dict[str, OrderUpdate]":
    from infra.replay import fold
    from schemas.orders import OrderUpdate

    found: dict[str, OrderUpdate] = {}
    async for event, _ in fold(settings, ["trading.orders.v1"]):
        if isinstance(event, OrderUpdate):
            known = found.get(event.order_id)
            if known is None or event.sequence > known.sequence:
                found[event.order_id] = event
    return found


def settle(settings: "Settings", order_id: str, finding: Any, permanent_id: int, reason: str) -> "OrderUpdate":
    """Publish what was found, and wait until the executor has taken it in."""
    from producers.cli.records import run

    return run(_settle(settings, order_id, (finding, permanent_id, reason)), settings)


async def _settle(settings: "Settings", order_id: str, said: tuple[Any, int, str]) -> "OrderUpdate":
    from producers.cli.desk import Desk
    from schemas.orders import OrderStatus, OrderUpdate
    from schemas.resolution import OrderResolved

    known = (await _newest(settings)).get(order_id)
    if known is None:
        raise UsageError(f"no order {order_id!r}: `scizor live orders` lists them")
    if known.status is not OrderStatus.UNKNOWN:
        raise UsageError(f"order {order_id} is {known.status}: only an UNKNOWN one needs somebody to look")
    async with Desk(settings) as desk:
        feed = await desk.feed(["trading.orders.v1"])
        now = desk.clock.now()
        finding, permanent_id, reason = said
        resolved = OrderResolved(
            account_id=known.account_id,
            order_id=order_id,
            finding=finding,
            permanent_id=permanent_id,
            reason=reason,
            by=person(),
            event_time=now,
            ingest_time=now,
        )
        await desk.publish(resolved)

        def is_it(event: object) -> bool:
            return isinstance(event, OrderUpdate) and event.order_id == order_id and event.sequence > known.sequence

        told = await feed.first(is_it, seconds=_ANSWER_SECONDS, what=f"the executor about order {order_id}")
    assert isinstance(told, OrderUpdate), "only those were asked for"
    return told


def _running() -> "Settings":
    from infra.embedded.running import running_settings

    return running_settings(load_settings(), needs_database=False)


def _row(told: "OrderUpdate") -> dict[str, Any]:
    return told.model_dump(mode="json", exclude={"type", "event_time", "ingest_time"})


def _table(found: "list[OrderUpdate]") -> str:
    if not found:
        return "no orders"
    head = f"{'ORDER':<38}{'SYMBOL':<9}{'WHAT':<24}{'FILLED':>10}  {'STATUS':<18}REASON"
    lines = [
        f"{each.order_id:<38}{each.symbol:<9}{_what(each):<24}{each.cumulative_quantity:>10f}  "
        f"{each.status:<18}{each.reason}".rstrip()
        for each in found
    ]
    return "\n".join([head, *lines])


def _what(told: "OrderUpdate") -> str:
    price = told.limit_price if told.limit_price is not None else told.stop_price
    at = f" {price:f}" if price is not None else ""
    return f"{told.side} {told.quantity:f} {told.order_type}{at}"
