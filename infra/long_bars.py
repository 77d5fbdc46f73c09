"""The bars of a long run, written from the topics' files or the database to a scratch file, a portion at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from infra.bar_scratch import COLUMNS, Scratch, ScratchBars
from infra.series_replay import Runs
from infra.store.bar_portions import Snapshot, StoredBars

_Portion = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LongBars:
    """More bars than are wanted in memory: those of a run, and those of its benchmark."""

    found: Runs | StoredBars
    symbols: Mapping[int, str]
    benchmark: tuple[int, str] | None
    all_survived: bool

    async def written(self, scratch: Scratch, on_read: Callable[[int], None]) -> tuple[ScratchBars, ScratchBars | None]:
        """Both in files of `scratch`; `on_read` may raise to give up.

        Raises EnvironmentUnhealthyError when what was kept of the topics goes away meanwhile, or cannot be written.
        """
        if isinstance(self.found, Runs):
            return await self._copied(self.found, scratch, on_read)
        async with self.found.snapshot() as found:
            return await self._copied(found, scratch, on_read)

    async def _copied(
        self, found: Runs | Snapshot, scratch: Scratch, on_read: Callable[[int], None]
    ) -> tuple[ScratchBars, ScratchBars | None]:
        own = await _Copy(found, on_read).to(scratch, "bars", self.symbols)
        if self.benchmark is None:
            return own, None
        number, name = self.benchmark
        return own, await _Copy(found, on_read).to(scratch, "benchmark", {number: name})


@dataclass
class _Copy:
    found: Runs | Snapshot
    on_read: Callable[[int], None]
    sources: set[str] = field(default_factory=set)

    async def to(self, scratch: Scratch, file: str, symbols: Mapping[int, str]) -> ScratchBars:
        writer = scratch.writer(file)
        async for portion in self._portions(symbols):
            await asyncio.to_thread(writer.add, portion)
            self.on_read(writer.count)
        return writer.bars(symbols, sorted(self.sources))

    async def _portions(self, contract_ids: Collection[int]) -> AsyncIterator[_Portion]:
        if isinstance(self.found, Runs):
            self.sources |= set(self.found.sources)
            portions = self.found.portions(contract_ids)
            while (portion := await asyncio.to_thread(next, portions, None)) is not None:
                yield portion
            return
        async for frame in self.found.portions(contract_ids):
            self.sources |= set(frame["source"].unique().to_list())
            yield {name: frame[name].to_numpy() for name in COLUMNS}
