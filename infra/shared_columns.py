"""Bars in files that several processes read as it is: one copy in memory, however many look at it."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


_ABOUT = "about.json"


@contextmanager
def shared(arrays: Mapping[str, Array], about: Mapping[str, Any]) -> Iterator[str]:
    """A folder that holds the arrays by name, and `about`, which has to be JSON; gone at the end."""
    with tempfile.TemporaryDirectory(prefix=f"scizor-{os.getpid()}-") as folder:
        for name, values in arrays.items():
            np.save(Path(folder) / f"{name}.npy", np.ascontiguousarray(values))
        (Path(folder) / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        yield folder


def opened(folder: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays, mapped into memory and read-only, and what was said about them."""
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in Path(folder).glob("*.npy")}
    return arrays, json.loads((Path(folder) / _ABOUT).read_text(encoding="utf-8"))
