"""Dashboard and alert rules name only what every service really exposes."""

import json
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.metrics import Metrics
from infra.settings import REPOSITORY
from infra.topics import load_catalogue
from tests.promql import labels_of, metrics_of

FOLDER = REPOSITORY / "infra" / "dashboards"
DASHBOARD = json.loads((FOLDER / "grafana" / "pipeline.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((FOLDER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in RULES]
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
OF_PROMETHEUS = {"up"}
OF_TARGETS = {"job", "service", "instance"}


def exposed_after_one_record() -> list[Any]:
    """The samples of a process that has received, failed, set aside and published one record."""
    metrics = Metrics("risk")
    received, published = metrics.received("trading.intents.v1"), metrics.published("trading.decisions.v1")
    received.messages.inc()
    received.acked.inc()
    metrics.exception("trading.intents.v1", ValueError())
    metrics.dead_letters.labels("trading.intents.v1").inc()
    metrics.lag.labels("trading.intents.v1", "0").set(0)
    published.succeeded.inc()
    text = generate_latest(metrics.registry).decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


SAMPLES = exposed_after_one_record()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_only_metrics_and_labels_that_services_expose(expression: str) -> None:
    assert metrics_of(expression) <= {sample.name for sample in SAMPLES} | OF_PROMETHEUS
    assert labels_of(expression) <= {label for sample in SAMPLES for label in sample.labels} | OF_TARGETS


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_says_what_it_shows_in_which_unit_from_the_chosen_source(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == DATA_SOURCE
    assert [target["datasource"] for target in panel["targets"]] == [DATA_SOURCE] * len(panel["targets"])


def test_the_dashboard_can_be_linked_to_and_its_panels_do_not_overlap() -> None:
    assert DASHBOARD["uid"] == "scizor-pipeline"
    assert "id" not in DASHBOARD, "an id belongs to one Grafana, the uid to all"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [(panel["gridPos"], x, y) for panel in DASHBOARD["panels"] for x, y in cells(panel["gridPos"])]
    assert len({(x, y) for _, x, y in places}) == len(places)


def cells(place: dict[str, int]) -> list[tuple[int, int]]:
    return [
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    ]


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = [
        line.removeprefix("## ").strip().lower()
        for line in (REPOSITORY / page).read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]

    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert anchor == rule["alert"].lower()
    assert anchor in headings


def test_prometheus_finds_every_container_of_a_service() -> None:
    targets = json.loads((FOLDER / "prometheus" / "compose-targets.json").read_text(encoding="utf-8"))

    assert targets == [
        {"targets": [f"{service.name}:{service.port or 9100}"], "labels": {"job": "scizor", "service": service.name}}
        for service in load_catalogue().supervised
    ]


def test_grafana_loads_the_dashboard_and_knows_prometheus() -> None:
    provisioning = FOLDER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "scizor.yml").read_text())["providers"]

    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
