"""A live strategy as bytes, for the process after this one: in files of our own alone, never in what is sent."""

import io
import pickle
from typing import Any

from engine.indicators import Indicator, catalogue
from engine.live.hosts import Hosts
from engine.live.running import RunningStrategy

_HOSTS = "hosts"


class NotFrozenError(ValueError):
    """The strategy keeps something that cannot be written down, or what was written cannot be read any more."""


class _Writer(pickle.Pickler):
    """Indicators are written by their names, and whoever runs uploaded code is not written at all."""

    def __init__(self, file: io.BytesIO, hosts: Hosts) -> None:
        super().__init__(file, protocol=5)
        self._hosts = hosts

    def persistent_id(self, obj: Any) -> str | None:
        if obj is self._hosts:
            return _HOSTS
        return f"indicator {obj.name}" if isinstance(obj, Indicator) and catalogue().get(obj.name) is obj else None


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, hosts: Hosts) -> None:
        super().__init__(file)
        self._hosts = hosts

    def persistent_load(self, pid: Any) -> Any:
        return self._hosts if pid == _HOSTS else catalogue()[str(pid).removeprefix("indicator ")]


def frozen(strategy: RunningStrategy, hosts: Hosts) -> bytes:
    """Raises NotFrozenError; uploaded code, whose state lies in its own process, cannot be frozen."""
    if strategy.deployment.source:
        raise NotFrozenError("its state lies in the sandbox")
    file = io.BytesIO()
    try:
        _Writer(file, hosts).dump(strategy)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise NotFrozenError(f"{type(error).__name__}: {error}") from error
    return file.getvalue()


def thawed(data: bytes, hosts: Hosts) -> RunningStrategy:
    """What `frozen` wrote, with the same code. Raises NotFrozenError."""
    try:
        strategy = _Reader(io.BytesIO(data), hosts).load()
    except Exception as error:
        raise NotFrozenError(f"{type(error).__name__}: {error}") from error
    if not isinstance(strategy, RunningStrategy):
        raise NotFrozenError("it is no strategy")
    return strategy
