"""Alerts on their way to people: by severity, to a real receiver, and what is said when one cannot be reached."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from infra.alerts import Alert, AlertUnsentError, Apprise, Severity
from infra.errors import UsageError
from infra.settings import Settings
from tests.a_webhook import a_webhook


def some_settings(**urls: str) -> Settings:
    fields: dict[str, Any] = {
        name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()
    }
    named = {f"alert_urls_{severity}": SecretStr(url) for severity, url in urls.items()}
    return Settings.model_construct(**{**fields, "home": Path("/nonexistent"), **named})


def an_alert(severity: Severity = Severity.CRITICAL, **changes: Any) -> Alert:
    return Alert(**{"key": "k", "severity": severity, "title": "it burns", "body": "the desk", **changes})


def test_an_alert_goes_where_its_severity_goes_and_where_milder_ones_go() -> None:
    with a_webhook() as mild, a_webhook() as grave:
        channel = Apprise(some_settings(info=mild.url, critical=grave.url))
        for severity in Severity:
            channel.send(an_alert(severity, title=severity.value))

    assert mild.titles == ["info", "warning", "critical"]
    assert grave.titles == ["critical"]
    assert [each["type"] for each in mild.received] == ["info", "warning", "failure"]
    assert mild.received[0]["message"] == "the desk"


def test_what_is_over_is_told_as_good_news() -> None:
    with a_webhook() as webhook:
        Apprise(some_settings(warning=webhook.url)).send(an_alert(resolved=True))

    assert webhook.received[0]["type"] == "success"


def test_one_address_that_fails_keeps_nobody_else_from_it_and_is_named_without_its_secrets() -> None:
    with a_webhook() as broken, a_webhook() as fine:
        broken.status = 500
        secret = broken.url.replace("json://", "json://ann:hunter2@")
        channel = Apprise(some_settings(critical=f"{secret} {fine.url}"))
        with pytest.raises(AlertUnsentError, match=str(broken.port)) as failure:
            channel.send(an_alert())

        broken.status = 200
        channel.send(an_alert(title="again"), failure.value.failed)

    assert fine.titles == ["it burns"], "who has taken it is not told twice"
    assert broken.titles[-1] == "again"
    assert "hunter2" not in str(failure.value)


def test_an_address_that_makes_no_sense_is_told_by_its_setting() -> None:
    with pytest.raises(UsageError, match="SCIZOR_ALERT_URLS_WARNING") as failure:
        Apprise(some_settings(warning="smoke://hunter2@signals"))
    assert "hunter2" not in str(failure.value)


def test_without_addresses_nobody_is_told() -> None:
    channel = Apprise(some_settings())
    assert channel.is_silent
    channel.send(an_alert())
