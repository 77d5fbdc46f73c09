"""What a replay takes of what Kafka brings, and when it gives up on what does not come."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pytest
from aiokafka import TopicPartition

from infra.delivery import Record, is_transient
from infra.replay import ReplayStalledError, polls_of

HERE, THERE = TopicPartition("fills", 0), TopicPartition("fills", 1)
Poll = Mapping[TopicPartition, Sequence[int]]
"""By partition the offsets that one poll brings; a marker of Kafka's own is an offset that it only passes: negative."""


@dataclass
class Written:
    offset: int
    topic: str = "fills"
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Broker:
    """Brings these polls, and nothing after them."""

    def __init__(self, polls: Iterable[Poll]) -> None:
        self._polls = iter(polls)
        self._positions = {HERE: 0, THERE: 0}
        self.paused: list[TopicPartition] = []
        self.asked = 0

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        self.asked += 1
        poll = next(self._polls, {})
        for place, offsets in poll.items():
            self._positions[place] = abs(offsets[-1]) + 1
        brought: dict[TopicPartition, list[Record]] = {}
        for place, offsets in poll.items():
            if records := [Written(offset) for offset in offsets if offset >= 0]:
                brought[place] = [*records]
        return brought

    async def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused += partitions


async def offsets_of(broker: Broker, spans: dict[TopicPartition, range]) -> list[list[int]]:
    return [[record.offset for record in records] async for records in polls_of(broker, spans)]


async def test_a_replay_stays_between_the_offsets_and_asks_no_more_of_what_has_ended() -> None:
    broker = Broker([{HERE: [0, 1, 2, 3], THERE: [0]}, {THERE: [1, 2]}])

    assert await offsets_of(broker, {HERE: range(3), THERE: range(3)}) == [[0, 1, 2], [0], [1, 2]]
    assert (broker.paused, broker.asked) == ([HERE, THERE], 2)


async def test_a_partition_that_ends_with_markers_has_ended() -> None:
    assert await offsets_of(Broker([{HERE: [0, -1]}, {HERE: [-2]}]), {HERE: range(3)}) == [[0]]


BEFORE: list[list[Poll]] = [[], [{HERE: [0]}]]


@pytest.mark.parametrize("before", BEFORE)
async def test_a_replay_that_nothing_comes_of_any_more_gives_up_and_is_worth_another_try(before: list[Poll]) -> None:
    broker = Broker(before)

    with pytest.raises(ReplayStalledError, match=r"nothing of fills-0 for 30 s.*scizor status") as raised:
        await offsets_of(broker, {HERE: range(2)})

    assert is_transient(raised.value)
    assert broker.asked == len(before) + 60, "half a second each, since something came last"


async def test_a_replay_that_goes_on_slowly_is_not_given_up() -> None:
    pauses: list[Poll] = [{}] * 59
    slow = [*pauses, {HERE: [0]}, *pauses, {HERE: [-1]}, *pauses, {HERE: [2]}]

    assert await offsets_of(Broker(slow), {HERE: range(3)}) == [[0], [2]]
