"""Which part of the history a warm-up reads: where its contracts stand, and nothing else."""

from aiokafka import TopicPartition

from infra.journal.warm_up import only_of

BEGINS = {TopicPartition("market.history.v1", number): 10 * number for number in range(4)}


def starts(*contract_ids: int) -> dict[int, int | None]:
    found = only_of([str(each).encode() for each in contract_ids], BEGINS)
    return {place.partition: start for place, start in found.items()}


def test_only_partitions_of_the_contracts_are_read() -> None:
    assert starts(101) == {0: None, 1: None, 2: 20, 3: None}  # where Kafka's own partitioner puts 101, and 104
    assert starts(101, 104) == {0: None, 1: None, 2: 20, 3: 30}
    assert starts() == {0: None, 1: None, 2: None, 3: None}
