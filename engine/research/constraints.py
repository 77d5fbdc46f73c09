"""Conditions between parameters, as a person writes them: `fast < slow`, parsed and walked, never executed."""

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.strategy import nearest

_LENGTH_MAX = 300
_NODES_MAX = 100

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_TURNED: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.Not: operator.not_}


class ConstraintError(ValueError):
    """The condition cannot be read: one line that says where and why."""


class Constraint:
    """One condition. It holds when it is true; arithmetic that cannot be done (a division by zero) is not true."""

    def __init__(self, text: str, names: Iterable[str]) -> None:
        self.text = text.strip()
        known = tuple(names)
        if not self.text or len(self.text) > _LENGTH_MAX:
            raise ConstraintError(f"a constraint has 1 to {_LENGTH_MAX} characters, for instance fast < slow")
        try:
            self._tree = ast.parse(self.text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ConstraintError(f"constraint {self.text!r} cannot be read: write for instance fast < slow") from None
        nodes = list(ast.walk(self._tree))
        if len(nodes) > _NODES_MAX:
            raise ConstraintError(f"constraint {self.text!r} is too long: split it into several")
        for node in nodes:
            self._refuse(node, known)

    def _refuse(self, node: ast.AST, known: tuple[str, ...]) -> None:
        if isinstance(node, ast.Name):
            if node.id not in known:
                near = nearest(node.id, known)
                raise ConstraintError(f"constraint {self.text!r}: no parameter {node.id}{near} is searched or set")
            return
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, int | float | str) or (isinstance(node.value, str) and len(node.value) > 100):
                raise ConstraintError(f"constraint {self.text!r}: {node.value!r} is no number, word or truth")
            return
        plain = (ast.Compare, ast.BoolOp, ast.And, ast.Or, ast.BinOp, ast.UnaryOp, ast.Load)
        if not isinstance(node, (*plain, *_ARITHMETIC, *_COMPARED, *_TURNED)):
            what = type(node).__name__
            raise ConstraintError(
                f"constraint {self.text!r} has a {what}: only comparisons, and, or, not, + - * / // % are understood"
            )

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        """Whether `parameters` satisfy it. Raises ConstraintError where a word meets a number."""
        try:
            return bool(self._value(self._tree, parameters))
        except ArithmeticError:
            return False
        except TypeError:
            raise ConstraintError(f"constraint {self.text!r} compares or adds what does not go together") from None

    def _value(self, node: ast.AST, given: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.Constant | ast.Name):
            return node.value if isinstance(node, ast.Constant) else given[node.id]
        if isinstance(node, ast.BoolOp):
            together = all if isinstance(node.op, ast.And) else any
            return together(bool(self._value(each, given)) for each in node.values)
        if isinstance(node, ast.UnaryOp):
            return _TURNED[type(node.op)](self._value(node.operand, given))
        if isinstance(node, ast.BinOp):
            return self._number(node, given)
        assert isinstance(node, ast.Compare), "other nodes were refused"
        return self._compared(node, given)

    def _compared(self, node: ast.Compare, given: Mapping[str, Any]) -> bool:
        left = self._value(node.left, given)
        for compared, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._value(right_node, given)
            if not _COMPARED[type(compared)](left, right):
                return False
            left = right
        return True

    def _number(self, node: ast.BinOp, given: Mapping[str, Any]) -> Any:
        left, right = self._value(node.left, given), self._value(node.right, given)
        for each in (left, right):
            if isinstance(each, str):  # "ab" * 10**9 would take the memory
                raise TypeError
            if (isinstance(each, int) and abs(each) > 2**63) or (isinstance(each, float) and math.isinf(each)):
                raise OverflowError
        return _ARITHMETIC[type(node.op)](left, right)
