"""`scizor config`: the settings in force, and where each comes from."""

import json
from typing import Annotated

import typer
from pydantic import SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from infra.embedded.running import find_stack
from infra.errors import UsageError
from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False)

MASK = "********"


@app.callback()
def config() -> None:
    """Settings and where each comes from."""


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Every setting with its value and its origin; secrets are masked."""
    rows = settings_with_origin()
    if as_json:
        print(json.dumps({"settings": rows}, indent=2))
        return
    for row in rows:
        print(f"{row['variable']:<28}{row['value'] or '-':<44}{row['origin']}")


def load_settings() -> Settings:
    """The settings of this command; a wrong one is the user's error, told by its variable."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"{_variable(str(each['loc'][0]))}: {each['msg']}" for each in error.errors()]
        raise UsageError("\n".join(["wrong settings, see .env.example:", *wrong])) from None


def settings_with_origin() -> list[dict[str, str]]:
    """One row per setting: variable, value, origin (environment, .env, running stack or default), meaning."""
    settings = load_settings()
    named = {".env": DotEnvSettingsSource(Settings)(), "environment": EnvSettingsSource(Settings)()}
    running = find_stack(settings)
    rows = []
    for name, field in Settings.model_fields.items():
        origin, value = "default", getattr(settings, name)
        if running is not None and getattr(running, name) != value:
            origin, value = "running stack", getattr(running, name)
        origin = next((source for source in ("environment", ".env") if name in named[source]), origin)
        text = _shown(value)
        rows.append({"variable": _variable(name), "value": text, "origin": origin, "meaning": field.description or ""})
    return rows


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return json.dumps(value) if isinstance(value, bool | list) else str(value)


def _variable(name: str) -> str:
    return f"SCIZOR_{name}".upper()
