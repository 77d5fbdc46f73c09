"""What a strategy's text gives away: clocks, randomness, files and networks, and state that outlives a run."""

import ast
from collections.abc import Iterator

from engine.scrutiny.findings import Finding, Severity
from engine.scrutiny.handlers import misspelt_handlers
from engine.strategy_source import IMPORTABLE

_CLOCKS = {"time", "sched", "timeit", "zoneinfo"}
_CHANCE = {"random", "secrets", "uuid"}
_NOW = {"now", "utcnow", "today"}
_READERS = {"open", "exec", "eval", "compile", "__import__", "input", "breakpoint", "globals", "vars"}
_LOADERS = {"load", "loadtxt", "genfromtxt", "fromfile", "memmap", "read_csv", "read_parquet", "scan_csv", "save"}
_MUTABLE_CALLS = {"list", "dict", "set", "defaultdict", "deque", "Counter", "OrderedDict", "bytearray", "array"}
_MUTABLE = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
_CHANGERS = {
    "append", "extend", "insert", "add", "update", "setdefault", "pop", "popleft", "appendleft", "clear", "remove",
}  # fmt: skip
_TABLE = 100
_FROZEN_BASES = {"StrategyConfig", "BaseModel", "NamedTuple", "TypedDict", "Struct"}


def read(source: str) -> list[Finding]:
    """What the text gives away, in the order of its lines; a text that is no Python is one finding."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [Finding(Severity.ERROR, "syntax", f"{error.msg}", error.lineno or 0)]
    except (ValueError, RecursionError, MemoryError) as error:
        return [Finding(Severity.ERROR, "syntax", f"this is no Python: {error}")]
    rules = (_imports, _calls, _private, _shared_state, _future, _tables, misspelt_handlers)
    found = [finding for rule in rules for finding in rule(tree)]
    return sorted(found, key=lambda each: (each.line, each.rule, each.text))


def _error(node: ast.AST, rule: str, text: str) -> Finding:
    return Finding(Severity.ERROR, rule, text, getattr(node, "lineno", 0))


def _imports(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{each.name}" if node.module else "." * node.level for each in node.names]
        for name in names:
            root = name.partition(".")[0]
            if root in _CLOCKS:
                yield _error(node, "clock", f"import {name}: time comes in on bars, `bar.end` and `timer`")
            elif root in _CHANCE or name.startswith("numpy.random"):
                yield _error(node, "chance", f"import {name}: a run must be repeatable, so a strategy draws nothing")
            elif root not in IMPORTABLE.split():
                yield _error(node, "outside", f"import {name or '.'}: a strategy sees its bars, parameters and account")


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _calls(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _dotted(node.func)
        owner, _, last = name.rpartition(".")
        if last in _NOW and owner:
            yield _error(node, "clock", f"{name}() reads the wall clock: use `bar.end`")
        elif owner.rpartition(".")[2] == "random" or owner.startswith(("np.random", "numpy.random")):
            yield _error(node, "chance", f"{name}() draws at random: a run must be repeatable")
        elif name in _READERS:
            yield _error(node, "outside", f"{name}() reaches outside of what a strategy is handed")
        elif owner in ("np", "numpy", "pl", "polars", "pd", "pandas") and last in _LOADERS:
            yield _error(node, "outside", f"{name}() reads a file: what it holds may lie in the future")
        elif name == "print":
            yield Finding(Severity.WARNING, "outside", "print() slows a run down: give a `reason` instead", node.lineno)


def _private(tree: ast.Module) -> Iterator[Finding]:
    """Names with an underscore, of anything but `self` and the file's own classes, are the engine's."""
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        name = _looked_up(node)
        if name.startswith("_") and name not in own and name not in ("__name__", "__init__", "__doc__"):
            yield _error(node, "private", f".{name} belongs to the engine: what it holds may lie in the future")


def _looked_up(node: ast.AST) -> str:
    """The attribute that is read, by a dot or by `getattr` with its name written out."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call) and _dotted(node.func) == "getattr" and len(node.args) > 1:
        name = node.args[1]
        return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ""
    return ""


def _bases(node: ast.ClassDef) -> set[str]:
    return {_dotted(each.value if isinstance(each, ast.Subscript) else each).rpartition(".")[2] for each in node.bases}


def _is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        name = _dotted(value.func)
        return name.rpartition(".")[2] in _MUTABLE_CALLS or name.startswith(("np.", "numpy."))
    return isinstance(value, _MUTABLE)


def _assigned(node: ast.stmt) -> tuple[list[str], ast.expr | None]:
    if isinstance(node, ast.Assign):
        return [each.id for each in node.targets if isinstance(each, ast.Name)], node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id], node.value
    return [], None


def _shared_state(tree: ast.Module) -> Iterator[Finding]:
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for owner in classes:
        if _bases(owner) & _FROZEN_BASES:
            continue
        for node in owner.body:
            names, value = _assigned(node)
            if names and _is_mutable(value):
                yield _error(
                    node, "shared", f"{owner.name}.{names[0]} is shared by all runs: set it in `on_start`, on `self`"
                )
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        if any(_is_mutable(each) for each in (*function.args.defaults, *function.args.kw_defaults)):
            yield _error(function, "shared", f"a default of {function.name} is kept from call to call: let it be None")
    held = {name for node in tree.body for names, value in [_assigned(node)] if _is_mutable(value) for name in names}
    held |= {each.name for each in classes}
    for each in ast.walk(tree):
        if isinstance(each, ast.Global | ast.Nonlocal):
            yield _error(each, "shared", f"{', '.join(each.names)}: state that outlives a run: keep it on `self`")
        name = _changed(each)
        if name in held or name in ("type(self)", "self.__class__"):
            yield _error(each, "shared", f"{name} is changed, and outlives the run: keep state on `self`")


def _changed(node: ast.AST) -> str:
    """Whose contents a statement changes; nothing where it changes none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGERS:
        return _dotted(node.func.value)
    if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        if isinstance(node.value, ast.Call) and ast.unparse(node.value) == "type(self)":
            return "type(self)"
        return _dotted(node.value)
    return ""


def _future(tree: ast.Module) -> Iterator[Finding]:
    """`np.roll(x, -1)` and `x.shift(-1)` bring tomorrow's value to today."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _dotted(node.func).rpartition(".")[2] in ("roll", "shift"):
            amounts = [*node.args, *(each.value for each in node.keywords)]
            if any(isinstance(each, ast.UnaryOp) and isinstance(each.op, ast.USub) for each in amounts):
                yield _error(node, "future", f"{ast.unparse(node)} brings later values to earlier bars")


def _tables(tree: ast.Module) -> Iterator[Finding]:
    """Prices that are written down are known before they were paid: no cut of the bars can show that."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            held = node.values if isinstance(node, ast.Dict) else node.elts
            if len(held) >= _TABLE:
                yield _error(
                    node, "table", f"a table of {len(held)} values in the text: what it knows may be the future"
                )
