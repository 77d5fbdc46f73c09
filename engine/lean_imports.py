"""Packages imported without what they would draw in and nobody here uses, and without looking for garbage meanwhile."""

import gc
import importlib
import sys
from threading import RLock
from typing import Any

_importing = RLock()


def imported(name: str, *, without: tuple[str, ...] = ()) -> Any:
    """The module, imported while the names of packages that it would load where they are installed are blocked; those
    that are loaded already stay."""
    with _importing:
        if name in sys.modules:
            return sys.modules[name]
        blocked = [each for each in without if each not in sys.modules]
        collected = gc.isenabled()
        try:
            gc.disable()  # what a large package makes it keeps: to look through it takes a quarter of the time
            for each in blocked:
                sys.modules[each] = None  # type: ignore[assignment] # the documented way to refuse an import
            return importlib.import_module(name)
        finally:
            for each in blocked:
                del sys.modules[each]
            if collected:
                gc.enable()
