"""Checks of `scizor doctor` that look at the running system."""

import asyncio

from infra.clock import SystemEntropy
from infra.embedded.ports import answers
from infra.embedded.running import RunFile
from infra.embedded.stack import why_not_ready
from infra.embedded.starting import reachable
from infra.kill_line import ask
from infra.settings import Settings
from producers.cli.finding import Finding, Status
from producers.cli.machine_checks import free_bytes

DAYS_LEFT_MIN = 3
DAYS_LEFT_COMFORTABLE = 30
DAYS_SHOWN_MAX = 10_000
ROUND_TRIP_SECONDS = 15


def services(run: RunFile, settings: Settings) -> Finding:
    host = reachable(settings.bind)
    wrong = []
    for name, process in run.processes.items():
        reason = "not running" if not process.lives else None
        if reason is None and process.metrics_port:
            reason = why_not_ready(host, process.metrics_port)
        if reason is not None:
            wrong.append(f"{name} {reason}")
    if wrong:
        return Finding("fail", "; ".join(wrong), f"scizor logs {wrong[0].split()[0]}")
    return Finding("ok", f"{len(run.processes)} processes, all ready")


async def kafka_round_trip(settings: Settings) -> Finding:
    """One record through a topic of its own, which is removed again."""
    from aiokafka.admin import NewTopic
    from aiokafka.errors import KafkaError

    from infra import broker

    topic = f"{settings.topic_prefix}doctor.{SystemEntropy().new_id()}"
    try:
        async with asyncio.timeout(ROUND_TRIP_SECONDS):
            client = broker.admin(settings)
            await client.start()
            try:
                await client.create_topics([NewTopic(topic, 1, 1)])
                async with broker.producer(settings) as producer:
                    await producer.send_and_wait(topic, b"round trip")
                async with broker.reader(settings) as reader:
                    reader.subscribe([topic])
                    record = await reader.getone()
                await client.delete_topics([topic])
            finally:
                await client.close()
    except (KafkaError, TimeoutError) as error:
        fix = "check SCIZOR_KAFKA and its credentials, or scizor logs kafka"
        return Finding("fail", f"{settings.kafka}: {type(error).__name__} {error}", fix)
    status: Status = "ok" if record.value == b"round trip" else "fail"
    return Finding(status, f"a record went through {settings.kafka}")


async def postgres_query(settings: Settings) -> Finding:
    import asyncpg

    try:
        connection = await asyncpg.connect(settings.database_url.get_secret_value(), timeout=ROUND_TRIP_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        fix = "check SCIZOR_DATABASE_URL, or scizor logs postgres"
        return Finding("fail", f"{type(error).__name__}: {error}", fix)
    try:
        version = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    return Finding("ok", f"PostgreSQL {version} answers")


async def growth(settings: Settings) -> Finding:
    """How long the disk lasts when market data go on coming as in the last days."""
    from producers.cli.growth import growth_of

    growth = await growth_of(settings)
    days = growth.days_until_full(free_bytes(settings.home)[1])
    held = f"{(growth.tables_bytes + growth.topics_bytes) / 1e9:.2f} GB of market data"
    if days == float("inf"):
        return Finding("ok", f"{held}, none came in the last days")
    detail = f"{held}, {growth.bars_per_day:,.0f} bars a day: the disk lasts {min(days, DAYS_SHOWN_MAX):,.0f} days"
    fix = "`scizor data archive YEAR` moves old years into files of a tenth of the size; or give it a larger disk"
    if days < DAYS_LEFT_COMFORTABLE:
        return Finding("fail" if days < DAYS_LEFT_MIN else "warn", detail, fix)
    return Finding("ok", detail)


async def kill_switch(settings: Settings) -> Finding:
    """Whether a kill would be heard, and what is killed now."""
    state = await ask(settings.home, {"do": "state"})
    if state["killed"]:
        killed = ", ".join(kill["scope"] for kill in state["kills"])
        return Finding("warn", f"killed: {killed}", 'scizor arm --reason "..."')
    if state["gateway"] != "connected":
        return Finding("fail", f"it cannot reach the gateway: {state['gateway']}", "scizor logs kill_switch")
    return Finding("ok", "it listens, and reaches the gateway by a connection of its own")


def gateway(settings: Settings) -> Finding:
    host = settings.ib_host or "127.0.0.1"
    address = f"{host}:{settings.ib_port}"
    if answers(host, settings.ib_port, seconds=3):
        return Finding("ok", f"{'a gateway' if settings.ib_host else 'the simulator'} listens at {address}")
    if not settings.ib_host:
        return Finding("fail", f"the simulator does not listen at {address}", "scizor logs gateway_simulator")
    fix = (
        "start TWS or IB Gateway and permit socket clients: in TWS under Settings, API, Settings, "
        "'Enable ActiveX and Socket Clients', same port (7497 paper, 7496 live; IB Gateway 4002 and 4001)"
    )
    return Finding("fail", f"nobody listens at {address}", fix)
