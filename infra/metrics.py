"""What a service counts: FastStream's Kafka metric names, and SCIZOR's own."""

from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

_SIZES = (256, 1024, 4096, 16384, 65536, 262144, 1048576)
_DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_RECEIVED = ("app_name", "broker", "handler")
_PUBLISHED = ("app_name", "broker", "destination")


@dataclass(frozen=True)
class Received:
    """The counters of one topic that is read, ready to be hit."""

    messages: Counter
    size: Histogram
    in_process: Gauge
    acked: Counter
    failed: Counter
    skipped: Counter
    duration: Histogram


@dataclass(frozen=True)
class Published:
    """The counters of one topic that is written."""

    succeeded: Counter
    failed: Counter
    duration: Histogram


class Metrics:
    """All metrics of one process, in a registry of its own."""

    def __init__(self, service: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._labels = {"app_name": service, "broker": "kafka"}
        name = "faststream_received"
        self._messages = Counter(f"{name}_messages", "Records received", _RECEIVED, registry=registry)
        self._size = Histogram(
            f"{name}_messages_size_bytes", "Size of records", _RECEIVED, buckets=_SIZES, registry=registry
        )
        self._in_process = Gauge(f"{name}_messages_in_process", "Records in hand", _RECEIVED, registry=registry)
        self._processed = Counter(
            f"{name}_processed_messages", "Records done, by outcome", (*_RECEIVED, "status"), registry=registry
        )
        self._duration = Histogram(
            f"{name}_processed_messages_duration_seconds",
            "Time to handle a record",
            _RECEIVED,
            buckets=_DURATIONS,
            registry=registry,
        )
        self._exceptions = Counter(
            f"{name}_processed_messages_exceptions",
            "Exceptions in handlers",
            (*_RECEIVED, "exception_type"),
            registry=registry,
        )
        name = "faststream_published"
        self._published = Counter(
            f"{name}_messages", "Records published, by outcome", (*_PUBLISHED, "status"), registry=registry
        )
        self._publish_duration = Histogram(
            f"{name}_messages_duration_seconds",
            "Time until a record was acknowledged",
            _PUBLISHED,
            buckets=_DURATIONS,
            registry=registry,
        )
        self.dead_letters = Counter("scizor_dlq_messages", "Records set aside", ("topic",), registry=registry)
        self.lag = Gauge(
            "scizor_consumer_lag", "Records behind the end of the topic", ("topic", "partition"), registry=registry
        )
        self.ready = Gauge("scizor_ready", "1 when the service is ready, else 0", registry=registry)
        build = Gauge("scizor_build_info", "The build that runs", ("version", "service"), registry=registry)
        build.labels(version("scizor"), service).set(1)
        self._received: dict[str, Received] = {}
        self._sent: dict[str, Published] = {}

    def received(self, topic: str) -> Received:
        """The counters of `topic` (logical name), bound once."""
        if topic not in self._received:
            self.dead_letters.labels(topic)  # there from the start, so that the first one is seen as an increase
            labels = {**self._labels, "handler": topic}
            done = {status: self._processed.labels(**labels, status=status) for status in ("acked", "error", "skipped")}
            self._received[topic] = Received(
                messages=self._messages.labels(**labels),
                size=self._size.labels(**labels),
                in_process=self._in_process.labels(**labels),
                acked=done["acked"],
                failed=done["error"],
                skipped=done["skipped"],
                duration=self._duration.labels(**labels),
            )
        return self._received[topic]

    def exception(self, topic: str, error: BaseException) -> None:
        self._exceptions.labels(**self._labels, handler=topic, exception_type=type(error).__name__).inc()

    def published(self, topic: str) -> Published:
        if topic not in self._sent:
            labels = {**self._labels, "destination": topic}
            self._sent[topic] = Published(
                succeeded=self._published.labels(**labels, status="success"),
                failed=self._published.labels(**labels, status="error"),
                duration=self._publish_duration.labels(**labels),
            )
        return self._sent[topic]
