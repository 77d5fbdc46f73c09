"""A run's options from a YAML file: each name is an option of the command; what the command line says comes first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from infra.errors import UsageError

_BYTES_MAX = 64 * 1024


def from_config(context: typer.Context, path: Path | None) -> Path | None:
    """A callback of `--config`: the file's values become the command's defaults, its parameters wait in the context."""
    if path is None:
        return None
    told = _with_parameters(context, path)
    options = {str(each.name): each for each in context.command.params}
    known = options.keys() - {"config", "param", "strategy"}
    defaults = {}
    for name, value in told.items():
        if name not in known:
            from engine.strategy import nearest

            near = nearest(str(name), ["parameters", *known])
            raise UsageError(f"{path}: no option {name}{near}: there are parameters, {', '.join(sorted(known))}")
        if value is None:
            continue  # a name without a value says nothing
        defaults[name] = (
            _lines(path, name, value) if getattr(options[name], "multiple", False) else _value(path, name, value)
        )
        try:
            options[name].process_value(context, defaults[name])
        except typer.BadParameter as error:
            raise UsageError(f"{path}: {name} cannot be {defaults[name]!r}: {error.message}") from None
    context.default_map = defaults
    return path


def parameters_from_config(context: typer.Context, path: Path | None) -> Path | None:
    """A callback of `--config` for a command that runs nothing: the file's parameters alone."""
    if path is not None:
        _with_parameters(context, path)
    return path


def _with_parameters(context: typer.Context, path: Path) -> dict[str, Any]:
    """The file's values, its parameters kept for `configured`."""
    told = _read(path)
    parameters = told.pop("parameters", None) or {}
    if not isinstance(parameters, dict):
        raise UsageError(f"{path}: parameters are names with values, like `window: 50`")
    context.obj = {str(name): value for name, value in parameters.items()}
    return told


def configured(context: typer.Context | None) -> Mapping[str, Any]:
    """The strategy's parameters of the config, if there was one."""
    return context.obj if context is not None and isinstance(context.obj, dict) else {}


def source_of(given: list[str] | None) -> str:
    """What `--source` says; several are files, as those by commas. Raises UsageError for several places."""
    named = given or ["topic"]
    if len(named) > 1 and {"topic", "database"} & set(named):
        raise UsageError(f"bars come from one place: --source was given {len(named)} times, {', '.join(named)}")
    return ",".join(named)


def _lines(path: Path, name: str, value: Any) -> list[str]:
    """Of an option that may be repeated: a text is one, a list is several."""
    if isinstance(value, dict):
        raise UsageError(f"{path}: {name} is a list, each line of it like --{name} of the command line")
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def _value(path: Path, name: str, value: Any) -> Any:
    if isinstance(value, dict):
        raise UsageError(f"{path}: {name} has one value")
    if isinstance(value, list):
        return ",".join(str(each) for each in value)
    return value if isinstance(value, bool | int | float) else str(value)  # a date is read as one


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _BYTES_MAX:
            raise UsageError(f"{path} is longer than a config can be: at most {_BYTES_MAX:,} bytes")
        told = yaml.safe_load(text)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if told is not None and not isinstance(told, dict):
        raise UsageError(f"{path}: write names with values, like `cash: 100000`")
    return dict(told or {})
