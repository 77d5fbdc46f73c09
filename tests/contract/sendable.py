"""Which messages the simulator can send, read off its source: the numbers with which they begin."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import infra.gateway_simulator

PACKAGE = Path(infra.gateway_simulator.__file__).parent
HANDED_ON = frozenset({"account_watch", "depth_desk", "feed", "fills", "market_data", "order_news"})
"""Modules in which a call of this name hands on what stands elsewhere."""

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def sendable() -> set[int]:
    modules = {each.stem: ast.parse(each.read_text()) for each in PACKAGE.rglob("*.py")}
    functions = {name: list(_functions(module)) for name, module in modules.items()}
    everywhere = [each for known in functions.values() for each in known]
    found: set[int] = set()
    for name, known in functions.items():
        for function in known:
            for call in _sends(function):
                numbers = set(_numbers(call.args[0], function, everywhere))
                assert numbers or name in HANDED_ON, f"{name}.{function.name}: {ast.unparse(call)} cannot be read"
                found |= numbers
    return found


def _functions(module: ast.Module) -> Iterator[Function]:
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _sends(function: Function) -> Iterator[ast.Call]:
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr="send" | "_send"), args=[_, *_]):
                yield node


def _numbers(first: ast.expr, scope: Function, functions: list[Function]) -> Iterator[int]:  # noqa: C901 # a case a line
    """What can stand at the beginning."""
    match first:
        case ast.Constant(value=int(number)):
            yield number
        case ast.Name(id="ERROR"):
            yield 4
        case ast.Starred(value=value) | ast.Await(value=value):
            yield from _numbers(value, scope, functions)
        case ast.Tuple(elts=[head, *_]) | ast.List(elts=[head, *_]):
            yield from _numbers(head, scope, functions)
        case ast.IfExp(body=one, orelse=other):
            yield from _numbers(one, scope, functions)
            yield from _numbers(other, scope, functions)
        case ast.Subscript(value=ast.Dict(values=values)):
            for each in values:
                yield from _numbers(each, scope, functions)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            for function in (known for known in functions if known.name == name):
                yield from _returned(function, functions)
        case ast.Name(id=name):
            for value in _assigned(name, scope):
                yield from _numbers(value, scope, functions)


def _returned(function: Function, functions: list[Function]) -> Iterator[int]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield from _numbers(node.value, function, functions)


def _assigned(name: str, scope: Function) -> Iterator[ast.expr]:
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=known) | ast.Tuple(elts=[ast.Name(id=known), *_])], value=value):
                if known == name:
                    yield value
            case ast.AnnAssign(target=ast.Name(id=known), value=ast.expr() as value):
                if known == name:
                    yield value
