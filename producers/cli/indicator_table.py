"""The table of all indicators as docs/indicators.md has it, made from the code."""

from engine.indicators import Indicator, Parameter, catalogue

_HEAD = (
    "| indicator | inputs | parameters | what it is | ready | settled |",
    "|---|---|---|---|---:|---:|",
)


def indicator_table() -> str:
    """Markdown: each indicator with its inputs, parameters (default, least), meaning and warm-up in bars."""
    return "\n".join([*_HEAD, *(_row(each) for each in catalogue().values())]) + "\n"


def _row(each: Indicator) -> str:
    parameters = ", ".join(_parameter(parameter) for parameter in each.parameters) or "-"
    settled = "never" if each.anchored else str(each.settled())
    return f"| `{each.name}` | {', '.join(each.takes)} | {parameters} | {each.says} | {each.ready()} | {settled} |"


def _parameter(parameter: Parameter) -> str:
    return f"{parameter.name} {parameter.default:g} (from {parameter.least:g})"
