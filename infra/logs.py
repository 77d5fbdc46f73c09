"""Log lines as JSON on stderr, each with the service and the correlation id of what it is about."""

import json
import logging
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from infra.settings import Settings

correlation = structlog.contextvars


class LineKeeper:
    """A stream for a log: what cannot be written is counted and told later, and nobody's work ends of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        """Gives the length of the text, whatever became of it."""
        try:
            if self._lost:
                told = {"event": "lines of this log were lost", "level": "error", "lost": self._lost}
                self._stream.write(json.dumps(told) + "\n")
                self._stream.flush()
                self._lost = 0
            self._stream.write(text)
        except OSError:  # a full disk
            self._lost += 1
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._lost += 1


def configure(settings: Settings, service: str) -> FilteringBoundLogger:
    """Set up logging of this process and give its logger."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    shape: Processor = (
        structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    stream = cast(TextIO, LineKeeper(sys.stderr))
    structlog.configure(
        processors=[*shared, shape],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, shape],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))  # libraries speak up when something is wrong, not before
    return cast(FilteringBoundLogger, structlog.get_logger(service=service))
