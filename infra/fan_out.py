"""Who does work that can be spread: this process, processes of this machine, or a Dask cluster, as one Executor."""

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from infra.errors import EnvironmentUnhealthyError, UsageError

P = ParamSpec("P")
R = TypeVar("R")

WORKERS_MAX = 256
_DASK = "dask://"
_DASK_SECONDS = 10


class Here(Executor):
    """Does each thing at once, in this thread."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 # whoever asks for the result gets it
            future.set_exception(error)
        return future

    def map(self, fn: Callable[..., R], *iterables: Iterable[Any], **ignored: Any) -> Iterator[R]:
        """One at a time, when it is asked for: whoever stops asking stops the work."""
        return map(fn, *iterables)


class Processes(ProcessPoolExecutor):
    """Processes of this machine, which can be ended while they work."""

    def kill(self) -> None:
        """Whoever waits for a result gets BrokenProcessPool."""
        for process in list((self._processes or {}).values()):  # the standard library offers this from 3.14 on
            process.kill()


@contextmanager
def executor(where: str, workers: int, preload: Sequence[str] = ()) -> Iterator[Executor]:
    """`process` (with one worker: this process) or `dask://host:port`. Work not begun is dropped at the end.

    `preload` are modules that a process has loaded before its first work. UsageError for an unknown place.
    """
    if where.startswith(_DASK):
        with _dask(where.removeprefix(_DASK)) as found:
            yield found
        return
    if where != "process":
        raise UsageError(f"no executor {where!r}: write process or dask://host:port")
    if not 1 <= workers <= WORKERS_MAX:
        raise UsageError(f"{workers} workers: from 1 to {WORKERS_MAX}")
    if workers == 1:
        yield Here()
        return
    context = multiprocessing.get_context("forkserver")  # a fork of a process with threads may hang
    context.set_forkserver_preload(list(preload))
    with _interrupts_are_ours():
        multiprocessing.forkserver.ensure_running()
    pool = Processes(workers, mp_context=context)
    try:
        yield pool
    except BaseException:  # nobody asks for their results any more
        pool.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_are_ours() -> Iterator[None]:
    """Ctrl-C goes to all processes of a command. One that is started here never hears it, nor do its children: we end
    them, and no traceback of theirs comes in between."""
    multiprocessing.resource_tracker.ensure_running()  # first: it ends with the signal let through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("dask:// needs the extra of that name: pip install 'scizor[dask]'") from None
    try:
        client: Any = Client(f"tcp://{address}", timeout=_DASK_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EnvironmentUnhealthyError(
            f"no Dask scheduler answers at {address}: start one with `dask scheduler` ({error})"
        ) from None
    try:
        yield client.get_executor(pure=False)
    finally:
        client.close()
