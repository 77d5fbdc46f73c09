"""Cassettes: YAML files that say which faults happen when; read strictly, with complaints that name line and field."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from infra.errors import UsageError
from infra.gateway_simulator.faults.actions import Action, Part
from infra.gateway_simulator.faults.armed import check_event
from infra.gateway_simulator.faults.moments import When

FOLDER = Path(__file__).parent / "cassettes"
STEPS_MAX = 200
FILE_MAX = 256_000  # bytes


class Step(Part):
    """One fault and its moment."""

    name: str = Field("", max_length=200)
    when: When
    do: Action

    @model_validator(mode="after")
    def _can_happen(self) -> "Step":
        try:
            check_event(self.when, self.do)
        except UsageError as error:
            raise ValueError(str(error)) from error
        return self


class Cassette(Part):
    """What a gateway does wrong, where that is known from, and what is expected of those who use it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")
    description: str = Field(min_length=1, max_length=2000)
    source: str = Field(min_length=1, max_length=500)
    expects: str = Field(min_length=1, max_length=2000)
    seed: int = Field(7, ge=0, le=2**31 - 1)
    steps: tuple[Step, ...] = Field(min_length=1, max_length=STEPS_MAX)


def names() -> list[str]:
    """The cassettes that come with the simulator."""
    return sorted(each.stem for each in FOLDER.glob("*.yaml"))


def load(name: str) -> Cassette:
    """A cassette by the name of one that comes with the simulator, or by the path of a file."""
    path = FOLDER / f"{name}.yaml" if name in names() else Path(name)
    try:
        if path.stat().st_size > FILE_MAX:
            raise UsageError(f"the cassette {path} is larger than {FILE_MAX} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        near = ", ".join(difflib.get_close_matches(name, names())) or "for instance pacing-violation"
        advice = f"name a YAML file, or one that docs/faults.md lists: {near}"
        raise UsageError(f"cannot read the cassette {name!r} ({error}): {advice}") from error
    return read(text, str(path))


def read(text: str, where: str) -> Cassette:
    """The cassette in a text; `where` is named in complaints."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        told = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UsageError(f"{where}{line}: not YAML: {problem}") from error
    if not isinstance(told, dict):
        raise UsageError(f"{where}: a cassette is a mapping with {', '.join(Cassette.model_fields)}")
    try:
        return Cassette.model_validate(told)
    except ValidationError as error:
        told_first = [
            each for each in error.errors() if each["type"] != "too_short"
        ]  # steps that failed are not missing
        lines = [_complaint(where, node, each["loc"], each["msg"]) for each in told_first or error.errors()]
        raise UsageError("\n".join(lines)) from None


def _complaint(where: str, node: Any, place: tuple[int | str, ...], message: str) -> str:
    """file line 7: steps.1.do.farm.name: what is wrong."""
    line = node.start_mark.line + 1
    for part in place:
        found = _inside(node, part)
        if found is None:
            break
        line, node = found
    return f"{where} line {line}: {'.'.join(map(str, place)) or 'it'}: {message.removeprefix('Value error, ')}"


def _inside(node: Any, part: int | str) -> tuple[int, Any] | None:
    """The line and the node of a field, or of an entry of a list."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
