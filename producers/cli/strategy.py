"""`scizor strategy`: which strategies there are."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def strategy() -> None:
    """Strategies."""


@app.command("list")
def list_strategies(as_json: AsJson = False) -> None:
    """Every strategy with what it does, its parameters and their defaults."""
    from engine.registry import listing

    found = listing()
    if as_json:
        print(json.dumps({"strategies": [asdict(each) for each in found]}, indent=2))
        return
    for each in found:
        print(each.name)
        print(f"    {each.description}")
        print(f"    {', '.join(f'{name}={value}' for name, value in each.parameters.items())}")
