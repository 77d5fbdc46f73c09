"""A strategy as text becomes a class; whatever is wrong with the text is told with its line.

Text of strangers is only ever handed in here inside the sandbox: reading it can take any time and memory.
"""

import ast
import sys
import types
from collections.abc import Iterator

from engine.strategy import BaseStrategy

SOURCE_BYTES_MAX = 256 * 1024
"""Of one strategy's file."""

IMPORTABLE = (
    "__future__ abc annotated_types array bisect collections contextlib copy dataclasses datetime decimal engine enum "
    "fractions functools heapq itertools json math msgspec numbers numpy operator pydantic random re schemas "
    "statistics string talib types typing typing_extensions"
)
"""What a strategy may import. A hint to honest authors: what holds others back is the sandbox."""


class StrategySourceError(ValueError):
    """The text is no strategy: one line that says which line of it, and why."""


def strategy_from(source: str, name: str) -> type[BaseStrategy]:
    """The one strategy that the text defines, as the module `name`. Raises StrategySourceError."""
    file = f"{name}.py"
    code = _compiled(source, file)
    module = types.ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module  # dataclasses and models look their own module up
    try:
        exec(code, vars(module))  # noqa: S102 # the point of this module
    except Exception as error:
        raise StrategySourceError(f"{told(error)}{at_line(error, file)}") from error
    found: list[type[BaseStrategy]] = [each for each in vars(module).values() if _is_strategy(each, name)]
    strategies = [each for each in found if not any(each in other.__mro__[1:] for other in found)]
    if len(strategies) != 1:
        names = ", ".join(each.__name__ for each in strategies) or "none"
        raise StrategySourceError(f"{file}: one class derives from engine.strategy.BaseStrategy, here: {names}")
    return strategies[0]


def at_line(error: BaseException, file: str) -> str:
    """` (FILE, line N)` for the deepest line of `file` that an exception came through; nothing when there is none."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" ({file}, line {line})" if line else ""


def told(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _is_strategy(given: object, module: str) -> bool:
    return isinstance(given, type) and issubclass(given, BaseStrategy) and given.__module__ == module


def _compiled(source: str, file: str) -> types.CodeType:
    try:
        tree = ast.parse(source, file)
        for line, name in _imports(tree):
            if name.partition(".")[0] not in IMPORTABLE.split():
                raise StrategySourceError(f"{file}, line {line}: a strategy cannot import {name}: it has {IMPORTABLE}")
        return compile(tree, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise StrategySourceError(f"{file}, line {error.lineno}: {error.msg}") from error
    except (MemoryError, RecursionError) as error:
        raise StrategySourceError(f"{file}: nested too deep to be read") from error


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module if node.module and not node.level else "." * node.level
