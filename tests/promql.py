"""Which metrics and labels a PromQL expression names; only as much of the language as rules and panels use."""

import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_WORD = re.compile(r"(?<![\w.])[A-Za-z_:][\w:]*")
_OPERATORS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})


def metrics_of(expression: str) -> set[str]:
    """The metric names in `expression`."""
    bare = _RANGE.sub("", _GROUPING.sub("", _MATCHERS.sub("", _STRING.sub("", expression))))
    return {
        found.group()
        for found in _WORD.finditer(bare)
        if found.group().lower() not in _OPERATORS and not bare[found.end() :].lstrip().startswith("(")
    }


def labels_of(expression: str) -> set[str]:
    """The label names in matchers and groupings of `expression`."""
    bare = _STRING.sub("", expression)
    names = {name for group in _GROUPING.findall(bare) for name in re.findall(r"\w+", group)}
    return names | {name for inside in _MATCHERS.findall(bare) for name in re.findall(r"(\w+)\s*[=!]", inside)}
