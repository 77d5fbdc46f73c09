"""Deterministic noise: the same numbers for the same seed and name on every machine and numpy version.

Raw PCG64 bits and plain arithmetic alone: no logarithm, cosine or pairwise sum, whose last bit depends on the machine.
"""

import zlib

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_TO_UNIT = 2.0**-53
_SUMMED = 12  # twelve uniforms make a good bell, with variance one


class Noise:
    """A stream of numbers that belongs to a seed and a name."""

    def __init__(self, seed: int, *name: str | int) -> None:
        self._bits = np.random.PCG64([seed & 0xFFFFFFFF, *(_number(each) for each in name)])

    def uniform(self, count: int) -> Floats:
        """`count` numbers in [0, 1)."""
        raw = self._bits.random_raw(count)
        return (raw >> np.uint64(11)).astype(np.float64) * _TO_UNIT

    def bell(self, count: int) -> Floats:
        """`count` numbers around 0 with variance 1, none beyond 6."""
        drawn = self.uniform(count * _SUMMED).reshape(_SUMMED, count)
        total = np.zeros(count)
        for row in drawn:  # an explicit order of addition, so that the last bit is everywhere the same
            total = total + row
        return total - _SUMMED / 2


def _number(name: str | int) -> int:
    return name & 0xFFFFFFFF if isinstance(name, int) else zlib.crc32(name.encode())


def pick(count: int, *name: str | int) -> int:
    """A number in 0..count-1 that depends on the names alone; cheap, for single draws."""
    return zlib.crc32(repr(name).encode()) % count
