"""Strategies that live inside: one process for each, and how much each may take."""

from infra.clock import Clock
from infra.sandbox.conversation import Child, Limits
from infra.sandbox.sandbox import Sandbox

ENTRY = "engine.sandboxed:live"
_LIMITS = Limits(turn_seconds=5.0, cpu_seconds=7 * 24 * 3600, turn_bytes=2**18)
"""A turn is one input. What it computes has the bound of strategies that ship, held inside; this one is on the wall."""


class LazySandbox:
    """Made when the first uploaded strategy is deployed: who trades by strategies that ship needs none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sandbox: Sandbox | None = None

    def live_child(self) -> Child:
        """A process for one live strategy. Raises SandboxUnavailableError."""
        if self._sandbox is None:
            self._sandbox = Sandbox(self._clock)
        return self._sandbox.start(ENTRY, _LIMITS)

    def close(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
