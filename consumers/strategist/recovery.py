"""Live strategies made again after a restart: every journalled input, fed in the order it was consumed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from consumers.strategist.journal import Place
from consumers.strategist.running import RunningStrategy
from infra import broker
from infra.clock import Clock
from infra.delivery import MalformedRecordError, Record, parse
from infra.publish import Origin
from infra.replay import fold, read_to_end
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.event import Event
from schemas.market import HistoricalBar
from schemas.orders import OrderIntent
from schemas.strategy import Deploy, JournalEntry, Signal
from schemas.validation import Contract, Symbol

Input = tuple[Event, Origin]
HISTORY = "market.history.v1"
COMMANDS = "strategy.commands.v1"


@dataclass
class Recovered:
    """A strategy as it was, how far its journal reached, and what its last entry caused."""

    strategy: RunningStrategy
    sequence: int
    consumed: dict[Place, int]
    tail: list[Signal | OrderIntent] = field(default_factory=list)


async def known_contracts(settings: Settings) -> dict[str, Contract]:
    """The registry's contract of each symbol that was validated."""
    contracts = {}
    async for event, _ in fold(settings, ["reference.symbols.v1"]):
        if isinstance(event, Symbol) and event.contract is not None:
            contracts[event.symbol] = event.contract
    return contracts


async def journals(settings: Settings) -> dict[str, list[JournalEntry]]:
    """Each strategy's journal in order; an entry that was written twice counts once."""
    found: dict[str, dict[int, JournalEntry]] = defaultdict(dict)
    async for event, _ in fold(settings, ["strategy.journal.v1"]):
        if isinstance(event, JournalEntry):
            found[event.strategy_id][event.sequence] = event
    return {name: [entries[number] for number in sorted(entries)] for name, entries in found.items()}


async def history(
    settings: Settings, deployment: Deploy, contracts: Mapping[int, Contract], until: Mapping[int, int] | None = None
) -> tuple[list[HistoricalBar], dict[int, int]]:
    """The last `warmup_bars` of each contract and how far the topic was read, by partition (last offsets).

    `until` repeats an earlier reading: nothing behind those offsets counts.
    """
    topic = load_catalogue().topic(HISTORY)
    kept: dict[int, dict[object, HistoricalBar]] = defaultdict(dict)
    reached: dict[int, int] = {}
    async for records in read_to_end(settings, [HISTORY]):
        for record in records:
            if until is not None and record.offset > until.get(record.partition, -1):
                continue
            reached[record.partition] = record.offset
            if record.key is None or not record.key.isdigit() or int(record.key) not in contracts:
                continue
            try:
                bar = parse(topic, record)
            except MalformedRecordError:
                continue
            if isinstance(bar, HistoricalBar) and bar.bar_size.total_seconds() == deployment.bar_size_seconds:
                kept[bar.contract_id][bar.start] = bar
    bars = []
    for of_contract in kept.values():
        newest_last = sorted(of_contract.values(), key=lambda bar: bar.event_time)
        bars += newest_last[-deployment.warmup_bars :]
    return sorted(bars, key=lambda bar: (bar.event_time, bar.contract_id)), reached


async def recover(settings: Settings, clock: Clock, group: str) -> dict[str, Recovered]:
    """Every strategy that has a journal, as it was when its last input was committed."""
    found = await journals(settings)
    if not found:
        return {}
    contracts = await known_contracts(settings)
    inputs = await _inputs(settings, clock, found.values(), await _committed(settings, group))
    recovered = {}
    for name, entries in found.items():
        again = await _again(settings, entries, inputs, contracts)
        if again is not None:
            recovered[name] = again
    return recovered


async def _again(
    settings: Settings,
    entries: list[JournalEntry],
    inputs: Mapping[Place, list[Input]],
    contracts: Mapping[str, Contract],
) -> Recovered | None:
    """Feed one strategy its journal; then what was committed but not yet written, which is of one place only."""
    entries, deployment = _since_deployment(entries, inputs.get((COMMANDS, 0), []))
    if deployment is None:
        return None
    mine = {c.contract_id: c for name in deployment.symbols if (c := contracts.get(name)) is not None}
    strategy = RunningStrategy(deployment, mine)
    until = {entry.partition: entry.offset for entry in entries if entry.topic == HISTORY}
    if until:
        strategy.warm_up((await history(settings, deployment, mine, until))[0])
    again = Recovered(strategy, entries[-1].sequence, {})
    for entry in entries:
        if entry.topic == HISTORY:
            continue
        place = (entry.topic, entry.partition)
        again.tail = _feed(strategy, inputs.get(place, []), entry.first_offset, entry.offset)
        again.consumed[place] = max(again.consumed.get(place, -1), entry.offset)
    last = (entries[-1].topic, entries[-1].partition)
    rest = [pair for pair in inputs.get(last, []) if pair[1].offset > entries[-1].offset]
    if rest and last[0].startswith("market."):
        again.tail += _feed(strategy, rest, rest[0][1].offset, rest[-1][1].offset)
        again.consumed[last] = rest[-1][1].offset
    return again


def _since_deployment(
    entries: list[JournalEntry], commands: Iterable[Input]
) -> tuple[list[JournalEntry], Deploy | None]:
    """The journal from the strategy's last deployment on."""
    deployments = {
        origin.offset: event
        for event, origin in commands
        if isinstance(event, Deploy) and event.strategy_id == entries[0].strategy_id
    }
    for number in range(len(entries) - 1, -1, -1):
        entry = entries[number]
        if entry.topic == COMMANDS and entry.first_offset in deployments:
            return entries[number:], deployments[entry.first_offset]
    return entries, None


def _feed(strategy: RunningStrategy, inputs: Iterable[Input], first: int, last: int) -> list[Signal | OrderIntent]:
    outputs = []
    for event, origin in inputs:
        if first <= origin.offset <= last and strategy.wants(event):
            outputs += strategy.take(event, origin)
    return outputs


async def _committed(settings: Settings, group: str) -> dict[TopicPartition, int]:
    client = broker.admin(settings)
    await client.start()
    try:
        return {place: known.offset for place, known in (await client.list_consumer_group_offsets(group)).items()}
    finally:
        await client.close()


async def _inputs(
    settings: Settings,
    clock: Clock,
    all_entries: Iterable[list[JournalEntry]],
    committed: Mapping[TopicPartition, int],
) -> dict[Place, list[Input]]:
    """The records that any journal speaks of, and those that were committed since, by place."""
    first: dict[Place, int] = {}
    last: dict[Place, int] = {}
    for entry in (entry for entries in all_entries for entry in entries):
        place = (entry.topic, entry.partition)
        first[place] = min(first.get(place, entry.first_offset), entry.first_offset)
        last[place] = max(last.get(place, -1), entry.offset)
    first = {place: offset for place, offset in first.items() if place[0] != HISTORY}
    prefix = settings.topic_prefix
    start = {TopicPartition(prefix + topic, number): offset for (topic, number), offset in first.items()}
    inputs: dict[Place, list[Input]] = defaultdict(list)
    async for records in read_to_end(settings, sorted({topic for topic, _ in first}), start=start):
        topic = records[0].topic
        place = (topic.removeprefix(prefix), records[0].partition)
        end = max(last.get(place, -1), committed.get(TopicPartition(topic, place[1]), 0) - 1)
        inputs[place] += _parsed(place[0], [record for record in records if record.offset <= end], clock)
    return inputs


def _parsed(name: str, records: Iterable[Record], clock: Clock) -> list[Input]:
    topic = load_catalogue().topic(name)
    pairs = []
    for record in records:
        try:
            event = parse(topic, record)
        except MalformedRecordError:
            continue
        origin = Origin(name, record.partition, record.offset, record.key, record.timestamp, clock.now())
        pairs.append((event, origin))
    return pairs
