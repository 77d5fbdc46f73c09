"""`scizor alerts`: whether alerts get out, before one has to."""

import json
from typing import Annotated, Any

import typer

from infra.errors import EnvironmentUnhealthyError, UsageError
from producers.cli.config import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def alerts() -> None:
    """Alerts to people: where they go, and whether they get there."""


@app.command("test")
def send_test(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Send a test alert of each severity to every address that gets it; exit 3 when one does not take it."""
    from infra.alerts import Alert, AlertUnsentError, Apprise, Severity

    channel = Apprise(load_settings())
    if channel.is_silent:
        raise UsageError("alerts go nowhere: set SCIZOR_ALERT_URLS_CRITICAL, _WARNING or _INFO (docs/alerts.md)")
    rows: list[dict[str, Any]] = []
    for severity in Severity:
        addresses = channel.addresses(severity)
        if not addresses:
            continue
        error = ""
        try:
            channel.send(Alert("test", severity, f"SCIZOR: a test ({severity})", "sent by `scizor alerts test`"))
        except AlertUnsentError as failure:
            error = str(failure)
        rows.append({"severity": severity.value, "addresses": addresses, "sent": not error, "error": error})
    if as_json:
        print(json.dumps({"alerts": rows}, indent=2))
    for row in rows if not as_json else ():
        print(f"{row['severity']:<10}{'sent' if row['sent'] else 'FAILED':<8}{', '.join(row['addresses'])}")
    if failed := [row["error"] for row in rows if row["error"]]:
        raise EnvironmentUnhealthyError("; ".join(dict.fromkeys(failed)))
