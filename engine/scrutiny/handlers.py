"""Methods that look like handlers and are called by nobody."""

import ast
import difflib
from collections.abc import Iterator

from engine.scrutiny.findings import Finding, Severity
from engine.strategy import BaseStrategy

_CALLED = tuple(sorted(name for name in vars(BaseStrategy) if name.startswith("on_")))
"""Handlers, by name."""
_ASKED = ("indicators", "targets")
_ALIKE = 0.85


def misspelt_handlers(tree: ast.Module) -> Iterator[Finding]:
    """`on_bars` is no error of Python's: it is a method that never runs."""
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    for owner in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        for method in owner.body:
            if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) or method.name in (*_CALLED, *_ASKED):
                continue
            if method.name in used or method.decorator_list or method.name.startswith("_"):
                continue
            yield from _told(method)


def _told(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    begins = method.name.startswith("on_")
    near = difflib.get_close_matches(method.name.lower(), (*_CALLED, *_ASKED), n=1, cutoff=0.5 if begins else _ALIKE)
    if near:
        text = f"{method.name} is called by nobody: did you mean {near[0]}?"
        yield Finding(Severity.ERROR, "handler", text, method.lineno)
    elif begins:
        text = f"{method.name} is called by nobody: the handlers are {', '.join(_CALLED)}"
        yield Finding(Severity.WARNING, "handler", text, method.lineno)
