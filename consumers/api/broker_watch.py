"""Whether the broker answers: nobody else would notice, since consumers and producers wait for it in silence."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra import broker
from infra.settings import Settings

INTERVAL_SECONDS = 2.0
_PATIENCE_SECONDS = 3.0


class BrokerWatch:
    """Asks the broker for its name, again and again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.trouble: str | None = None
        """Why the broker does not answer; None as long as it does."""

    async def watch(self) -> None:
        """Until cancelled; the background task of a service."""
        client: AIOKafkaAdminClient | None = None
        try:
            while True:
                try:
                    async with asyncio.timeout(_PATIENCE_SECONDS):
                        client = client or await self._connected()
                        await client.describe_cluster()
                    self.trouble = None
                except (KafkaError, OSError, TimeoutError) as error:
                    self.trouble = f"Kafka at {self._settings.kafka} does not answer ({type(error).__name__})"
                    if client is not None:
                        await client.close()
                    client = None
                await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            if client is not None:
                await client.close()

    async def _connected(self) -> AIOKafkaAdminClient:
        client = broker.admin(self._settings)
        try:
            await client.start()
        except BaseException:
            await client.close()
            raise
        return client
