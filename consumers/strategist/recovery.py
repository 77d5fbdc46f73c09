"""Live strategies made again after a restart: every journalled input, fed in the order it was consumed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from consumers.strategist.guard import BEGIN_SECONDS_MAX, bounded
from consumers.strategist.journal import Input, Journal
from consumers.strategist.snapshots import Snapshot
from engine.live.hosts import Hosts, StoppedFromOutsideError
from engine.live.outputs import Output, id_of
from engine.live.running import RunningStrategy, never_begun
from engine.live.snapshot import NotFrozenError, thawed
from infra.delivery import Record
from infra.journal.inputs import Inputs, InputsGoneError
from infra.journal.spans import Past, Span, pasts
from infra.journal.warm_up import past_bars
from infra.session_close import session_close
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.market import Bar, Tick
from schemas.place import At
from schemas.strategy import Deploy


@dataclass
class Recovered:
    """A strategy as it was, and what its last inputs caused: outputs with the record that caused them."""

    strategy: RunningStrategy
    tail: list[Output] = field(default_factory=list)
    cause: Record | None = None
    lost: bool = False
    """Its past could not be repeated."""

    def lose(self, why: str) -> None:
        """The first reason stands: whatever differs behind it differs because of it."""
        if not self.lost:
            self.strategy.diverged(why)
        self.lost, self.tail = True, []

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Bounded as at the deployment; who is stopped there now is lost alone."""
        try:
            with bounded(BEGIN_SECONDS_MAX):
                yield
        except StoppedFromOutsideError as error:
            self.lose(f"it began before and does not now: {error}")


async def pasts_and_snapshots(
    settings: Settings, found: Mapping[str, Snapshot], hosts: Hosts
) -> tuple[Mapping[str, Past], dict[str, RunningStrategy]]:
    """Journals, and the strategies as snapshots have them, from where on the journals are to be fed."""
    known = await pasts(settings, {name: each.sequence for name, each in found.items()})
    strategies = {}
    for name, each in found.items():
        if not each.fits(known.get(name), settings.topic_prefix):
            continue
        with suppress(NotFrozenError):
            strategies[name] = thawed(each.data, hosts)
    if len(strategies) < len(found):  # some do not fit: their journals are fed from the start
        known = await pasts(settings, {name: found[name].sequence for name in strategies})
    return known, strategies


async def go_on(strategy: RunningStrategy, past: Past, inputs: Inputs) -> Recovered:
    """A strategy as a snapshot has it, brought to the end of its journal."""
    recovered = Recovered(strategy)
    if past.gap:
        recovered.lose(past.missing)
    await inputs.begin(past.spans)
    await _feed_spans(recovered, past, inputs)
    return recovered


async def recover(settings: Settings, past: Past, inputs: Inputs, hosts: Hosts) -> Recovered | None:
    """One strategy as it was when its journal ended; None when it was never deployed to the end."""
    if past.deployed is None:
        return None
    recovered = _begun((await _deployment(past.deployed, inputs))[0], past, hosts)
    await inputs.begin([*past.fills, *past.spans])
    await _feed(settings, recovered, past, inputs)
    return recovered


async def journal_loss(recovered: Recovered, past: Past, journal: Journal, inputs: Inputs) -> None:
    """What was lost by chance now is not to be found again by chance by the next process, with inputs missing.

    The deployment is journalled once more, as one that did not get through its start: what follows are its books alone.
    """
    if not recovered.lost or past.fault or past.deployed is None:
        return
    deployment, record = await _deployment(past.deployed, inputs)
    again = Input(deployment, past.deployed, record.value or b"")
    await journal.deployed(again, past.contracts, fault=recovered.strategy.error)


async def _deployment(at: At, inputs: Inputs) -> tuple[Deploy, Record]:
    span = Span(at.place, at.offset, at.offset)
    await inputs.begin([span])
    ((deployment, record),) = [each async for each in inputs.events(span)]
    assert isinstance(deployment, Deploy), "a journal says that this record was a deployment"
    return deployment, record


def _begun(deployment: Deploy, past: Past, hosts: Hosts) -> Recovered:
    if past.fault:
        return Recovered(never_begun(deployment, past.contracts, None, past.fault))
    try:
        with bounded(BEGIN_SECONDS_MAX):
            return Recovered(RunningStrategy(deployment, past.contracts, None, hosts, session_close))
    except StoppedFromOutsideError as error:
        recovered = Recovered(never_begun(deployment, past.contracts, None, str(error)))
        recovered.lose(f"it began before and does not now: {error}")
        return recovered


async def _feed(settings: Settings, recovered: Recovered, past: Past, inputs: Inputs) -> None:
    strategy = recovered.strategy
    for span in past.fills:
        fills = [event async for event, _ in inputs.events(span)]
        with recovered.beginning():
            strategy.adopt(fills)
    if past.history and not strategy.ended:
        again = await past_bars(settings, strategy.deployment, strategy.contracts, past.history)
        with recovered.beginning():
            strategy.warm_up(again.bars)
    if past.gap:
        recovered.lose(past.missing)
    await _feed_spans(recovered, past, inputs)


async def _feed_spans(recovered: Recovered, past: Past, inputs: Inputs) -> None:
    for span in past.spans:
        try:
            await _feed_span(recovered, span, inputs)
        except InputsGoneError as error:
            recovered.lose(str(error))


async def _feed_span(recovered: Recovered, span: Span, inputs: Inputs) -> None:
    """Feed it and hold what follows against what followed then. Who watches no more has no use for bars and ticks."""
    strategy = recovered.strategy
    market = span.place[0] in {load_catalogue().topic_of(kind).name for kind in (Bar, Tick)}
    if market and not strategy.watches:
        return
    recovered.tail = []
    keys = {str(contract_id).encode() for contract_id in strategy.contracts} if market else ()
    async for event, record in inputs.events(span, keys):
        if strategy.wants(event):
            if span.fault and record.offset == span.last:
                strategy.stopped_at(event, span.fault)
                continue
            try:
                recovered.tail += strategy.take(event, At(*span.place, record.offset))
            except StoppedFromOutsideError as error:
                recovered.lose(f"what it got through before it does not get through now: {error}")
            recovered.cause = record
    if tuple(map(id_of, recovered.tail)) != span.outputs:
        recovered.lose(f"{span.place[0]}/{span.place[1]}/{span.last} caused something else than before")
