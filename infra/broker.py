"""How Kafka is reached: one place for addresses, credentials and safe client options."""

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context

from infra.settings import Settings

REQUEST_TIMEOUT_MS = 20_000
BULK_BATCH_BYTES = 524_288
BATCH_BYTES = 256 * 1024


def connection_options(settings: Settings) -> dict[str, Any]:
    """Options that every aiokafka client needs to reach the broker."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "security_protocol": settings.kafka_security,
    }
    if settings.kafka_security.endswith("SSL"):
        options["ssl_context"] = create_ssl_context()
    if settings.kafka_security.startswith("SASL"):
        options |= {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return options


def producer(settings: Settings, *, bulk: bool = False) -> AIOKafkaProducer:
    """A producer that waits for all replicas and never repeats a record by its own retries.

    `bulk` sends large zstd batches; otherwise every record leaves at once (linger 0), uncompressed, together with those
    that came while the one before it was under way: on topics that are flushed to disk a batch is one wait.
    """
    bulk_options = {"max_batch_size": BULK_BATCH_BYTES, "linger_ms": 5, "compression_type": "zstd"} if bulk else {}
    options = bulk_options or {"max_batch_size": BATCH_BYTES}
    return AIOKafkaProducer(
        **connection_options(settings),
        acks="all",
        enable_idempotence=True,
        max_request_size=8_388_608,
        **options,
    )


def reader(settings: Settings, **options: Any) -> AIOKafkaConsumer:
    """A consumer without a group: for replays, tails and folds that keep their own place."""
    return AIOKafkaConsumer(
        **connection_options(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        **options,
    )


def admin(settings: Settings) -> AIOKafkaAdminClient:
    return AIOKafkaAdminClient(**connection_options(settings))
