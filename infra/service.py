"""The base of every service: it takes events from its topics, tells events to its topics, and says how it is.

Starting is recovering: `before` hooks fold and reconcile, only then the first record is taken.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from aiokafka.errors import KafkaConnectionError
from starlette.types import ASGIApp

from infra import logs
from infra.clock import Clock, Entropy, SystemClock, SystemEntropy
from infra.consume import BatchConsumer, BatchHandler, BeforeCommit, Membership, RecordConsumer
from infra.delivery import Delivery, Halt, Handler
from infra.http import HttpServer, health_app
from infra.metrics import Metrics
from infra.publish import Origin, Publisher
from infra.settings import Settings
from infra.signals import ended_by_signals
from infra.topics import Catalogue, load_catalogue
from schemas.event import Event

if TYPE_CHECKING:
    from infra.store.database import Store  # services without a database need not load it

E = TypeVar("E", bound=Event)
Hook = Callable[[], Awaitable[None]]

_STOP_PATIENCE_SECONDS = 30.0
_END_SECONDS = 8.0
"""For letting go of everything: the supervisor, and Docker, end us by force after ten."""
_STEP_SECONDS_LEAST = 0.2
_LAG_INTERVAL_SECONDS = 1.0
_KAFKA_AGAIN_SECONDS = 1.0


class Service:
    """One process of topics.yaml's `services`, by name."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock or SystemClock()
        self.entropy = entropy or SystemEntropy()
        self.catalogue = catalogue or load_catalogue()
        self.spec = self.catalogue.services[name]
        self.metrics = Metrics(name)
        for topic in self.spec.reads:
            self.metrics.received(topic)  # every counter is there, at zero, before the first record
        self.log = logs.configure(settings, name)
        self.publisher = Publisher(name, settings, self.catalogue, self.clock, self.metrics)
        self._delivery = Delivery(
            group=f"{settings.topic_prefix}{name}",
            settings=settings,
            catalogue=self.catalogue,
            publisher=self.publisher,
            clock=self.clock,
            entropy=self.entropy,
            metrics=self.metrics,
            log=self.log,
        )
        self._batches: list[tuple[tuple[str, ...], BatchHandler, BeforeCommit | None]] = []
        self._before: list[Hook] = []
        self._after: list[Hook] = []
        self._tasks: dict[str, Hook] = {}
        self._at_once: dict[str, Hook] = {}
        self._checks: dict[str, Callable[[], str | None]] = {}
        self._consumers: list[RecordConsumer | BatchConsumer] = []
        self._started = False
        self._answers = False
        """More than how it is."""
        self._stopping = asyncio.Event()

    # what a service is made of

    def on(self, event_class: type[E], handler: Callable[[E, Origin], Awaitable[None]]) -> None:
        """Call `handler` with each event of this class, one at a time, in the order of its partition."""
        assert event_class not in self._delivery.handlers, f"{event_class.__name__} has a handler already"
        self._delivery.handlers[event_class] = cast(Handler, handler)

    def on_batch(
        self, topics: Sequence[str], handler: BatchHandler, *, before_commit: BeforeCommit | None = None
    ) -> None:
        """Call `handler` with whole polls of raw records; it returns those that are to be set aside.

        What it raises ends the process. With `before_commit`, commits are gathered and each awaits it first.
        """
        self._batches.append((tuple(topics), handler, before_commit))

    def before(self, hook: Hook) -> None:
        """Await `hook` after the publisher has started and before the first record is taken."""
        self._before.append(hook)

    def after(self, hook: Hook) -> None:
        """Await `hook` when the service stops, last added first."""
        self._after.append(hook)

    def task(self, name: str, run: Hook, *, at_once: bool = False) -> None:
        """Run in the background; a failure, or an end before the service stops, ends the process.

        `at_once`: what needs no Kafka, and does not wait for it.
        """
        (self._at_once if at_once else self._tasks)[name] = run

    def ready_when(self, name: str, check: Callable[[], str | None]) -> None:
        """/ready asks `check`: None when fine, else what is wrong."""
        self._checks[name] = check

    def relay(self, store: "Store") -> None:
        """Open `store` before the first record, publish what its commits put out, close it at the end."""
        from infra.store.inbox import refuse_foreign_topics  # services without a database need not load it

        self.before(store.start)
        self.before(lambda: refuse_foreign_topics(self.settings, store))
        self.task("outbox", lambda: store.outbox.relay(self.publisher.post_all))
        self.ready_when("outbox", store.outbox.why_not_ready)
        self.after(store.close)

    def halt_with(self, halt: Halt) -> None:
        """Called once when a trading record cannot be applied."""
        self._delivery.halt = halt

    # what a service does

    async def publish(self, event: Event, *, cause: Origin | None = None) -> None:
        """Publish to the topic of the event's type and wait until the broker has it."""
        await self.publisher.publish(event, cause)

    async def publish_many(self, events: Iterable[Event]) -> int:
        """Bulk path: large compressed batches; returns how many the broker took."""
        return await self.publisher.publish_many(events)

    def stop(self) -> None:
        """Ask the service to end cleanly."""
        self._stopping.set()

    async def run(self, app: ASGIApp | None = None) -> None:
        """Serve, recover, consume; returns after SIGTERM, SIGINT or `stop()`."""
        self._check_declared()
        self._answers = app is not None
        with ended_by_signals(self.stop):
            server = self._server(app)
            serving = asyncio.create_task(server.run_until_stopped(), name="http")
            try:
                await self._run_until_stopped(serving)
            finally:
                server.stop()
                await asyncio.wait([serving], timeout=_STOP_PATIENCE_SECONDS)

    def _server(self, app: ASGIApp | None) -> HttpServer:
        if app is None:
            return HttpServer(
                health_app(self.metrics, self.why_not_ready), self.settings.bind, self.settings.metrics_port
            )
        assert self.spec.port is not None, f"service {self.name} has no port in topics.yaml"
        ports = {8000: self.settings.farmer_port, 8001: self.settings.backtester_port, 8002: self.settings.trader_port}
        return HttpServer(app, self.settings.bind, ports[self.spec.port])

    async def _run_until_stopped(self, serving: "asyncio.Task[None]") -> None:
        running: set[asyncio.Task[Any]] = {serving}
        try:
            for name, run in self._at_once.items():
                running.add(asyncio.create_task(cast(Any, run()), name=name))
            starting = asyncio.create_task(self._start(running), name="start")
            stopping = asyncio.create_task(self._stopping.wait(), name="stop")
            await asyncio.wait({starting, stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
            else:
                starting.cancel()
                await asyncio.wait({starting}, timeout=_STOP_PATIENCE_SECONDS)
            stopping.cancel()
            self._raise_first_failure(running)
        finally:
            await self._shut_down(running - {serving})

    async def _start(self, running: set["asyncio.Task[Any]"]) -> None:
        await self._reach_kafka()
        for hook in self._before:
            await hook()
        for name, run in self._tasks.items():
            running.add(asyncio.create_task(cast(Any, run()), name=name))
        await self._start_consumers(running)
        running.add(asyncio.create_task(self._watch_lag(), name="lag"))
        self._started = True
        self.log.info("started", reads=self.spec.reads, instance=self.settings.instance)

    async def _reach_kafka(self) -> None:
        """Who answers over HTTP is asked for what needs no Kafka, and does not end because that is away."""
        while True:
            try:
                return await self.publisher.start()
            except KafkaConnectionError as error:
                await self.publisher.stop()
                if not self._answers:
                    raise
                self.log.warning("waiting for Kafka", error=str(error))
                await asyncio.sleep(_KAFKA_AGAIN_SECONDS)

    async def _start_consumers(self, running: set["asyncio.Task[Any]"]) -> None:
        static = self.spec.membership == "static"
        if topics := self._record_topics():
            member = Membership(self.settings, self.name, static=static)
            self._consumers.append(RecordConsumer(topics, member, self.settings, self._delivery))
        for number, (topics_of_batch, handler, before_commit) in enumerate(self._batches):
            member = Membership(self.settings, self.name, static=static, suffix=f"-batch{number}")
            consumer = BatchConsumer(
                topics_of_batch, member, self.settings, self._delivery, handler, self.metrics, before_commit
            )
            self._consumers.append(consumer)
        await _join_together(self._consumers)
        for each in self._consumers:
            running.add(asyncio.create_task(each.run(), name="batch" if isinstance(each, BatchConsumer) else "records"))

    def _raise_first_failure(self, running: set["asyncio.Task[Any]"]) -> None:
        ended = [task for task in running if task.done()]
        for task in ended:
            if not task.cancelled() and (error := task.exception()):
                raise error
        if ended and not self._stopping.is_set():  # also one that was cancelled: nobody here has, yet
            raise RuntimeError(f"{self.name}: background task {ended[0].get_name()} ended by itself")

    async def _shut_down(self, running: set["asyncio.Task[Any]"]) -> None:
        self.log.info("stopping")
        self._started = False
        self._delivery.stop()
        ends_at = asyncio.get_running_loop().time() + _END_SECONDS
        for consumer in reversed(self._consumers):
            await self._in_time(ends_at, consumer.stop)
        for task in running:
            task.cancel()
        if running:
            await self._in_time(ends_at, lambda: asyncio.wait(running))
        for hook in reversed(self._after):
            await self._in_time(ends_at, hook)
        await self._in_time(ends_at, self.publisher.stop)

    async def _in_time(self, ends_at: float, step: Callable[[], Awaitable[object]]) -> None:
        """A step of the end, for half of what is left: a server that is away keeps nobody from ending. What was in
        hand stays uncommitted, and comes again at the next start."""
        left = ends_at - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(left / 2, _STEP_SECONDS_LEAST)):
                await step()
        except TimeoutError:
            name = getattr(step, "__qualname__", repr(step))
            self.log.warning("left unfinished at the end", what=name, trying_seconds=round(left / 2, 1))

    async def _watch_lag(self) -> None:
        while True:
            for consumer in self._consumers:
                for place, behind in consumer.lag().items():
                    topic = place.topic.removeprefix(self.settings.topic_prefix)
                    self.metrics.lag.labels(topic, str(place.partition)).set(behind)
            await asyncio.sleep(_LAG_INTERVAL_SECONDS)

    def why_not_ready(self) -> dict[str, str]:
        """What keeps the service from its work, by name; empty when it is ready."""
        reasons = {name: why for name, check in self._checks.items() if (why := check()) is not None}
        if not self._started:
            reasons["start"] = "recovering"
        elif any(not consumer.drain.joined for consumer in self._consumers):
            reasons["kafka"] = "waiting to join the consumer group"
        if self._delivery.blocked:
            reasons["halted"] = self._delivery.blocked
        return reasons

    def _record_topics(self) -> tuple[str, ...]:
        handled = {self.catalogue.topic_of(event_class).name for event_class in self._delivery.handlers}
        return tuple(topic for topic in self.spec.reads if topic in handled)

    def _check_declared(self) -> None:
        handled = set(self._record_topics()) | {topic for topics, *_ in self._batches for topic in topics}
        undeclared = {self.catalogue.topic_of(c).name for c in self._delivery.handlers} - set(self.spec.reads)
        assert not undeclared, f"{self.name} handles topics it does not declare: {sorted(undeclared)}"
        assert handled == set(self.spec.reads), f"{self.name} declares topics it does not handle: {self.spec.reads}"


async def _join_together(consumers: Sequence[RecordConsumer | BatchConsumer]) -> None:
    """Members of one group that come one after another wait a heartbeat each until the earlier ones join anew."""
    joining = [asyncio.create_task(each.start(), name="join") for each in consumers]
    try:
        await asyncio.gather(*joining)
    finally:
        for task in joining:
            task.cancel()
        if joining:
            await asyncio.wait(joining)
