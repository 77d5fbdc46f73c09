"""The monitor on the real broker: what happens on the topics reaches a real receiver, once."""

import asyncio

import pytest
from pydantic import SecretStr

from consumers.monitor import monitor, telling
from infra import topic_admin
from infra.clock import SystemClock
from infra.settings import Settings
from infra.topics import DEAD_LETTER_SUFFIX, Catalogue, load_catalogue
from schemas.account import LimitBreached, TradingMode
from tests.a_webhook import Webhook, a_webhook
from tests.integration.an_order_path import OrderPath, a_state, an_order_path, running, until

CLOCK = SystemClock()


def the_catalogue() -> Catalogue:
    full = load_catalogue()
    service = full.services["monitor"]
    topics = {name: full.topics[name] for name in service.reads}
    return full.model_copy(update={"topics": topics, "services": {"monitor": service}})


async def test_breaches_halts_and_dead_letters_are_told_once_and_so_is_the_end_of_a_halt(
    stack_settings: Settings,
) -> None:
    with a_webhook() as webhook:
        settings = stack_settings.model_copy(update={"alert_urls_info": SecretStr(webhook.url)})
        await topic_admin.apply(settings, the_catalogue())
        service = monitor.build(settings, the_catalogue())
        async with an_order_path(settings) as path, running(service):
            for number in range(3):
                await path.tell(a_breach(number))
            await path.tell(a_state(TradingMode.HALTED, reason="a drill"))
            await a_letter(path)
            await until(lambda: has(webhook, "set aside"))
            await until(lambda: has(webhook, "is HALTED by ann"))
            await path.tell(a_state(TradingMode.ACTIVE))
            await until(lambda: has(webhook, "resolved: "))

        counted = service.metrics.registry.get_sample_value(
            "scizor_alerts_total", {"severity": "critical", "outcome": "sent"}
        )
    breaches = [title for title in webhook.titles if "quantity_max" in title]
    assert len(breaches) == 1, "three times the same is told once"
    assert sorted(each["type"] for each in webhook.received) == ["failure", "success", "warning", "warning"]
    assert counted == 2


def a_breach(number: int) -> LimitBreached:
    now = CLOCK.now()
    return LimitBreached(
        breach_id=f"b-{number}", scope="account:DU1234567", account_id="DU1234567", rule="quantity_max", detail="5000",
        event_time=now, ingest_time=now,
    )  # fmt: skip


async def a_letter(path: OrderPath) -> None:
    headers = [("scizor_dlq_reason", b"not JSON"), ("scizor_dlq_group", b"monitor")]
    await path.raw("risk.events.v1" + DEAD_LETTER_SUFFIX, b"k", b"{", headers)


async def has(webhook: Webhook, words: str) -> bool:
    return any(words in title for title in webhook.titles)


async def test_what_a_receiver_does_not_take_is_sent_again(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "AGAIN_SECONDS", (0.3, 0.3, 0.3))
    with a_webhook() as webhook:
        webhook.status = 503
        settings = stack_settings.model_copy(update={"alert_urls_info": SecretStr(webhook.url)})
        await topic_admin.apply(settings, the_catalogue())
        async with an_order_path(settings) as path, running(monitor.build(settings, the_catalogue())):
            await path.tell(a_breach(1))
            await until(lambda: came(webhook, 2))
            webhook.status = 200
            before = len(webhook.received)
            await until(lambda: came(webhook, before + 1))
            await asyncio.sleep(0.2)

    assert len(set(webhook.titles)) == 1
    assert len(webhook.received) <= 4


async def came(webhook: Webhook, count: int) -> bool:
    return len(webhook.received) >= count
