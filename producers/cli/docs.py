"""`scizor docs`: documents made from what the code declares."""

from typing import Annotated

import typer

from producers.cli.config import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def docs() -> None:
    """Documents made from what the code declares."""


@app.command()
def asyncapi(as_json: Annotated[bool, typer.Option("--json", help="JSON instead of YAML.")] = False) -> None:
    """The AsyncAPI 3.0 document of all topics, services and events."""
    import json

    import yaml

    from infra.asyncapi import document
    from infra.topics import load_catalogue

    described = document(load_catalogue(), load_settings().topic_prefix)
    if as_json:
        print(json.dumps(described, indent=2, ensure_ascii=False))
    else:
        print(yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120), end="")


@app.command()
def indicators(as_json: Annotated[bool, typer.Option("--json", help="JSON instead of Markdown.")] = False) -> None:
    """The table of all indicators: inputs, parameters, warm-up."""
    import json

    from engine.indicators import catalogue
    from producers.cli.indicator_table import indicator_table

    if not as_json:
        print(indicator_table(), end="")
        return
    found = [
        {
            "name": each.name,
            "inputs": list(each.takes),
            "parameters": [vars(parameter) for parameter in each.parameters],
            "description": each.says,
            "ready": each.ready(),
            "settled": None if each.anchored else each.settled(),
        }
        for each in catalogue().values()
    ]
    print(json.dumps({"indicators": found}, indent=2))
