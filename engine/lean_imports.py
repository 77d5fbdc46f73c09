"""Packages imported without what they would draw in and nobody here uses."""

import importlib
import sys
from threading import Lock
from typing import Any

_importing = Lock()


def imported(name: str, *, without: tuple[str, ...]) -> Any:
    """The module, imported while the names of packages that it would load where they are installed are blocked; those
    that are loaded already stay."""
    with _importing:
        if name in sys.modules:
            return sys.modules[name]
        blocked = [each for each in without if each not in sys.modules]
        try:
            for each in blocked:
                sys.modules[each] = None  # type: ignore[assignment] # the documented way to refuse an import
            return importlib.import_module(name)
        finally:
            for each in blocked:
                del sys.modules[each]
