""".env.example names every setting with its meaning and default, and nothing else."""

import json
from pathlib import Path

from pydantic import SecretStr

from infra.settings import REPOSITORY, Settings

EXAMPLE = REPOSITORY / ".env.example"
HEAD = """\
# Every setting of SCIZOR with its meaning and default. Copy this file to .env and uncomment what you change;
# variables of the environment win over .env. `scizor config show` tells what is in force and why.
"""


def _default(name: str) -> str:
    value = Settings.model_fields[name].get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value.relative_to(REPOSITORY))
    return json.dumps(value) if isinstance(value, bool | list) else str(value)


def _expected() -> str:
    blocks = [
        f"# {field.description}\n#SCIZOR_{name.upper()}={_default(name)}\n"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join([HEAD, *blocks])


def test_the_example_equals_the_settings_class() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == _expected(), "renew it: python -m tests.contract.test_env_example"


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


if __name__ == "__main__":
    EXAMPLE.write_text(_expected(), encoding="utf-8")
