"""`scizor db rebuild`: what real services and people put into the market tables is made again row by row."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer

from infra import topic_admin
from infra.columns import frame_of
from infra.quality.findings import findings_of
from infra.quality.frames import judge
from infra.quality.stream import Series
from infra.rebuild import rebuild
from infra.replay import read_to_end
from infra.settings import Settings
from infra.store.tables import REBUILT_FROM_TOPICS
from infra.topics import load_catalogue
from schemas.corporate import ActionOrigin, Dividend, Split
from schemas.event import Event
from schemas.market import Bar, Basis, PriceKind, Quarantined, Rejected, Released, Source
from schemas.research import OptimizationFinished, OptimizationRequested
from schemas.validation import SymbolRemoved
from tests.builders import APPLE, NOON, SEEN, a_bar, a_historical_bar
from tests.integration.a_gateway import simulator
from tests.integration.test_data_farmer import a_collection, a_validation, farming
from tests.integration.test_persister import EVERYTHING, a_request, running, send, until_done

MICROSOFT = 272093
LATER = datetime(2027, 1, 1, tzinfo=UTC)
LATER_ON: dict[str, Any] = {"event_time": LATER, "ingest_time": LATER}


def an_action(kind: type[Split] | type[Dividend], revision: int, **changes: Any) -> Event:
    return kind(
        event_time=datetime(2005, 2, 28, 5, tzinfo=UTC),
        ingest_time=SEEN + timedelta(hours=revision),
        contract_id=APPLE,
        symbol="AAPL",
        ex_date=date(2005, 2, 28),
        revision=revision,
        origin=ActionOrigin.PERSON,
        by="me",
        **changes,
    )


def a_search() -> OptimizationRequested:
    return OptimizationRequested(
        event_time=SEEN,
        ingest_time=SEEN,
        optimization_id="o1",
        backtest=a_request("o1"),
        axes=("window=10,20",),
        requested_by="me",
    )


def findings() -> list[Quarantined]:
    """Three bars that are kept out."""
    calm = [a_historical_bar(start=NOON + n * timedelta(seconds=5), volume=9.0 + n) for n in range(3)]
    wild = [a_historical_bar(start=NOON + n * timedelta(seconds=5), high=4400.0 + n) for n in range(3, 6)]
    bars = frame_of([*calm, *wild])
    return findings_of(judge(bars, Series(5)), bars, "AAPL")


def what_people_and_services_said() -> list[Event]:
    released, rejected, _ = kept_out = findings()
    about = {"event_time": SEEN, "ingest_time": SEEN, "contract_id": APPLE, "by": "me"}
    live = a_bar(start=NOON + timedelta(minutes=1))
    return [
        *EVERYTHING,
        OptimizationFinished(**LATER_ON, optimization_id="o1", request=a_search(), succeeded=True, result={"best": 1}),
        a_search(),
        *kept_out,
        Released(**about, quarantine_id=released.quarantine_id),
        Bar.model_validate({**live.model_dump(), "late": True, "revision": 1}),
        Rejected(**about, quarantine_id=rejected.quarantine_id),
        live,
        *(a_historical_bar(price_kind=kind, start=NOON) for kind in PriceKind),
        *(a_historical_bar(basis=basis, source=Source.IB) for basis in Basis),
        a_historical_bar(revision=3, close=440.5, ingest_time=LATER),
        an_action(Split, 0, new_shares=3, old_shares=1),
        an_action(Split, 1, new_shares=2, old_shares=1),
        an_action(Dividend, 0, amount=0.5, currency="USD"),
        an_action(Dividend, 1, amount=0.5, currency="USD", canceled=True),
        a_historical_bar(contract_id=MICROSOFT, symbol="MSFT"),
        SymbolRemoved(
            event_time=SEEN, ingest_time=SEEN, contract_id=MICROSOFT, symbol_id="MSFT", symbol="MSFT",
            requested_by="me",
        ),
        a_historical_bar(contract_id=MICROSOFT, symbol="MSFT", revision=1, ingest_time=LATER),
    ]  # fmt: skip


async def rows(settings: Settings) -> dict[str, list[Any]]:
    """Every table that is rebuilt, whole."""
    database = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        return {
            table.name: [
                json.loads(row[0])
                for row in await database.fetch(f"SELECT to_jsonb({table.name})::text FROM {table.name} ORDER BY 1")
            ]
            for table in REBUILT_FROM_TOPICS
        }
    finally:
        await database.close()


async def test_the_market_tables_are_the_same_after_they_were_emptied(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    async with running(stack_settings):
        async with simulator() as gateway, farming(stack_settings, gateway.port) as asker:
            await asker.run(a_validation("run-v", "AAPL", "IBM", "NOPE"))
            await asker.run(a_collection("run-h", "AAPL", "IBM"))
        await send(stack_settings, *what_people_and_services_said())
        await until_done(stack_settings)
        before = await rows(stack_settings)

    told: list[str] = []
    rebuilt = await rebuild(stack_settings, on_progress=lambda topic, _: told.append(topic))

    assert [name for name, some in before.items() if not some] == [], "every table is part of this test"
    after = await rows(stack_settings)
    assert after == before
    assert rebuilt.rows == {name: len(some) for name, some in before.items()}
    assert {"market.history.v1", "market.quarantine.v1", "reference.corporate_actions.v1"} <= set(told)
    assert {row["resolution"] for row in before["quarantine"]} == {None, "released", "rejected"}
    assert sum(row["contract_id"] == MICROSOFT for row in before["bars"]) == 1, "what was removed stays removed"


async def test_what_compaction_leaves_of_the_registry_makes_the_same_tables(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    async with running(stack_settings):
        for number, today in enumerate(("2013-01-10T12:00:00-05:00", "2013-02-28T12:00:00-05:00")):
            async with simulator(now=today) as gateway, farming(stack_settings, gateway.port) as asker:
                await asker.run(a_validation(f"run-{number}", "AAPL", force=True))
        await until_done(stack_settings)
        before = await rows(stack_settings)
    compacted = stack_settings.model_copy(update={"topic_prefix": stack_settings.topic_prefix + "compacted."})
    left = await copy_compacted(stack_settings, compacted)

    await rebuild(compacted)

    after = await rows(stack_settings)
    assert left["reference.symbols.v1"] == 1
    days = {row["day"] for row in before["sessions"]}
    assert {"2013-01-10", "2013-02-28"} <= days, "both answers told hours"
    assert after["symbols"] == before["symbols"]
    assert after["sessions"] == before["sessions"]


async def copy_compacted(settings: Settings, to: Settings) -> dict[str, int]:
    """The topics of the persister again, of compacted ones the newest record of each key; how many, by topic."""
    catalogue = load_catalogue()
    await topic_admin.apply(to)
    left: dict[str, int] = {}
    async with AIOKafkaProducer(bootstrap_servers=to.kafka) as producer:
        for name in catalogue.services["persister"].reads:
            records = [each async for some in read_to_end(settings, [name]) for each in some]
            if catalogue.topic(name).kind == "compacted":
                records = list({record.key: record for record in records}.values())
            for record in records:
                place = to.topic_prefix + name, record.value, record.key
                await producer.send_and_wait(*place, partition=record.partition, headers=list(record.headers))
            left[name] = len(records)
    return left
