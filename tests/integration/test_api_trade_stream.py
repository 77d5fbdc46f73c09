"""What happens in trading as server-sent events on a real port: live, after a restart, and from the topics."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from infra.embedded.ports import free_port
from infra.settings import Settings
from schemas.event import Event
from schemas.orders import FillBusted
from tests.builders import APPLE, NOON, SEEN, a_fill
from tests.integration.an_api import serving
from tests.integration.test_api_positions import a_position
from tests.integration.test_api_realtime import server_sent
from tests.integration.test_api_trader import ACCOUNT, a_working_order, tell

PATH = "/trading/events"
BUST = FillBusted(
    event_time=NOON, ingest_time=SEEN, execution_id="e", revision=2, account_id=ACCOUNT, contract_id=APPLE
)


async def some(events: AsyncIterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        return [await anext(events) for _ in range(count)]


async def test_a_client_misses_nothing_of_trading_not_even_over_a_restart_of_the_service(
    stack_settings: Settings,
) -> None:
    update, _ = a_working_order()
    held = a_position(APPLE, "AAPL")
    theirs: list[Event] = [a_fill(account_id="DU2", execution_id="theirs"), a_position(APPLE, "AAPL", account_id="DU2")]
    port = free_port()
    async with serving("api_trader", stack_settings, port) as api:
        async with server_sent(api, port, f"{PATH}?account_id={ACCOUNT}") as events:
            (begin,) = await some(events, 1)
            await tell(api, *theirs, update, a_fill(), held)
            live = await some(events, 3)
        lately = await api.get(f"{PATH}?kinds=fill&kinds=position")
        after = await api.get(PATH, headers={"Last-Event-ID": live[-1]["id"]})
        wrong = await api.ask("GET", PATH, headers={"Last-Event-ID": "b1"})
        await tell(api, BUST)  # told while nobody listens
        described = (await api.client.get("/openapi.json")).json()["paths"][PATH]["get"]

    async with serving("api_trader", stack_settings, port) as api:
        place = {"Last-Event-ID": live[-1]["id"]}
        async with server_sent(api, port, f"{PATH}?account_id={ACCOUNT}", **place) as events:
            await tell(api, a_fill(execution_id="new"))
            back = await some(events, 2)
        async with server_sent(api, port, f"{PATH}?kinds=fill", **{"Last-Event-ID": begin["id"]}) as events:
            fills = await some(events, 4)

    assert (begin["event"], begin["data"]) == ("begin", {})
    assert sorted(each["event"] for each in live) == ["fill", "order", "position"]
    by_kind = {each["event"]: each["data"] for each in live}
    assert (by_kind["order"]["order_id"], by_kind["fill"]["type"], by_kind["position"]["quantity"]) == (
        update.order_id, "Fill", "100",
    )  # fmt: skip
    assert len(lately["events"]) == 4, "of both accounts"
    assert (after["events"], wrong.status_code) == ([], 422)
    assert "text/event-stream" in described["responses"]["200"]["content"]
    assert [(each["event"], each["data"]["type"]) for each in back] == [("fill", "FillBusted"), ("fill", "Fill")]
    assert [each["data"]["execution_id"] for each in fills] == ["theirs", a_fill().execution_id, "e", "new"]
