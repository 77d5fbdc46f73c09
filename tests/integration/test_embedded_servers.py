"""The embedded Kafka and PostgreSQL: real answers, restarts after a kill, leashes, clear failures."""

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.settings import Settings


async def test_a_record_sent_to_the_embedded_broker_is_read_back(stack_settings: Settings) -> None:
    topic = stack_settings.topic_prefix + "echo"
    admin = AIOKafkaAdminClient(bootstrap_servers=stack_settings.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()

    async with AIOKafkaProducer(
        bootstrap_servers=stack_settings.kafka, acks="all", enable_idempotence=True
    ) as producer:
        await producer.send_and_wait(topic, b"a bar", key=b"265598")
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=stack_settings.kafka, auto_offset_reset="earliest", group_id=None
    ) as consumer:
        record = await consumer.getone()

    assert (record.key, record.value) == (b"265598", b"a bar")


async def test_each_test_gets_a_database_of_its_own(stack_settings: Settings) -> None:
    connection = await asyncpg.connect(stack_settings.database_url.get_secret_value())
    try:
        name = await connection.fetchval("SELECT current_database()")
    finally:
        await connection.close()

    assert name == stack_settings.topic_prefix.rstrip(".")
