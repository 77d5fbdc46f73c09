"""What was found about a strategy: where, how bad, and what to do."""

import ast
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error refuses the strategy; a warning wants a reader; a note only informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """`line` of the file, 0 where no line is to blame; `rule` is a word to search the documents for."""

    severity: Severity
    rule: str
    text: str
    line: int = 0


class Lines:
    """Where things stand in a strategy's text; knows nothing where there is no text."""

    def __init__(self, source: str = "") -> None:
        self._attributes: dict[str, int] = {}
        self._functions: dict[str, int] = {}
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Attribute):
                        self._attributes.setdefault(target.attr, node.lineno)
            elif isinstance(node, ast.FunctionDef):
                self._functions.setdefault(node.name, node.lineno)

    def attribute(self, name: str) -> int:
        """Where `self.name` is first set."""
        return self._attributes.get(name, 0)

    def function(self, name: str) -> int:
        """Where a method begins."""
        return self._functions.get(name, 0)
