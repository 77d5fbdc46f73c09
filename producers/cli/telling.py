"""How a long command tells what it is doing: a live line on a terminal, plain lines elsewhere; always on stderr."""

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.status import Status

from infra.clock import Clock

_PLAIN_WIDTH = 110


class Telling:
    """Names phases, times them, and says how far each has come."""

    def __init__(self, clock: Clock, console: Console | None = None) -> None:
        self._clock = clock
        width = None if sys.stderr.isatty() else _PLAIN_WIDTH
        self.console = console or Console(file=sys.stderr, highlight=False, width=width)
        self._status: Status | None = None
        self._phase = ""
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def phase(self, name: str, what: str) -> Iterator[None]:
        """Everything inside belongs to phase `name`, shown as `what`."""
        begun = self._clock.monotonic()
        self._phase = what
        if self.console.is_terminal:
            self._status = self.console.status(what)
            self._status.start()
        else:
            self.console.print(f"{what} ...")
        try:
            yield
        finally:
            if self._status is not None:
                self._status.stop()
                self._status = None
            self.seconds[name] = round(self._clock.monotonic() - begun, 2)
        self.console.print(f"[green]✓[/green] {what} [dim]{self.seconds[name]:.1f} s[/dim]")

    def step(self, text: str) -> None:
        """How far the phase has come; shown on a terminal only."""
        if self._status is not None:
            self._status.update(f"{self._phase}: {text}")

    def note(self, text: str) -> None:
        self.console.print(text)
