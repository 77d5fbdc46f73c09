"""A database meets topics that are not its own: refused, since their first records would pass for repeats."""

import pytest

from infra import topic_admin
from infra.publish import Origin
from infra.settings import Settings
from infra.store.database import Store
from infra.store.inbox import ForeignTopicsError, refuse_foreign_topics
from tests.builders import SEEN


async def test_topics_made_anew_are_refused_and_ones_that_go_on_are_not(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    store = Store(stack_settings, "portfolio")
    await store.start()
    try:
        await refuse_foreign_topics(stack_settings, store)
        async with store.transaction() as transaction:
            await transaction.seen(Origin("trading.fills.v1", 0, 7, None, 0, SEEN))
        with pytest.raises(ForeignTopicsError, match="up to offset 7, but the topic ends at 0"):
            await refuse_foreign_topics(stack_settings, store)
    finally:
        await store.close()
