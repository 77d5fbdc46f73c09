"""The five packages, who may know whom, and that topics have their names from topics.yaml."""

import ast
import functools
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from infra.settings import REPOSITORY
from infra.topics import ServiceSpec, load_catalogue

PACKAGES = ("schemas", "engine", "infra", "producers", "consumers")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
CATALOGUE = load_catalogue()
_TOPIC = re.compile(r"(?:scizor\.)?[a-z]+(?:\.[a-z_]+)+\.v\d+(?:\.dlq)?")

# Code finds a topic by the class of its event. These read whole topics, or show them, and so have to name them.
NAMES_TOPICS = {
    "consumers/backtester/backtester.py": "folds requests that somebody has cancelled",
    "infra/backtest_bars.py": "folds the registry",
    "consumers/api/live_tape.py": "folds three topics as one tape",
    "consumers/api/trade_tape.py": "the same of what happens in trading",
    "consumers/executor/executor.py": "folds trading states, and comparisons that were asked for, before it acts",
    "consumers/portfolio/keeper.py": "folds the ledger of fills before it acts",
    "infra/journal/spans.py": "folds the journal, in which history stands by offsets",
    "consumers/strategist/deploying.py": "folds the registry",
    "consumers/strategist/subscriptions.py": "folds what its strategies wanted",
    "infra/bar_replay.py": "a replay merges the two topics of bars",
    "infra/removals.py": "every reader of bars leaves out what was removed",
    "infra/store/keeping.py": "which topic fills which table",
    "producers/cli/collection.py": "follows the runs it has asked for",
    "producers/cli/orders.py": "folds the newest update of each order, and follows the one it has settled",
    "producers/cli/parity_published.py": "compares everything on four topics",
    "producers/cli/past_backtests.py": "shows results of before",
    "producers/cli/proof.py": "folds positions to compare them with the broker's",
    "producers/cli/running_backtest.py": "follows the backtest it has asked for",
    "producers/cli/story.py": "the demo follows every step of the pipeline",
    "producers/cli/registry_view.py": "folds the registry and its findings",
    "producers/cli/trading_desk.py": "folds limits, states and positions, and follows the strategies it has asked for",
    "producers/data_farmer/farmer.py": "folds requests that were not answered yet",
    "producers/data_farmer/known_runs.py": "reads the runs of before when the database is away",
    "producers/data_farmer/registry.py": "folds the registry",
    "producers/data_farmer/removal.py": "folds who wants live data",
    "producers/data_farmer/shelf.py": "reads what was published before",
    "producers/data_farmer/split_watch.py": "folds corporate actions, and tells them from findings in one batch",
    "producers/data_farmer/symbol_desk.py": "folds requests that were not answered yet",
    "producers/market_data/market_data.py": "goes on after what was published before",
    "producers/market_data/missing.py": "reads back what was collected for it",
    "producers/market_data/tails.py": "reads what was published before",
    "producers/market_data/wanted.py": "folds wants, the registry, and what it has told itself",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_ours_alone(package: str) -> None:
    assert set(packages_distributions()[package]) == {"scizor"}
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert [Path(place) for place in spec.submodule_search_locations or ()] == [REPOSITORY / package]


def test_the_import_contracts_speak_of_all_packages_and_of_every_service() -> None:
    linter = PROJECT["tool"]["importlinter"]
    (independence,) = [contract for contract in linter["contracts"] if contract["type"] == "independence"]
    (layers,) = [contract for contract in linter["contracts"] if contract["type"] == "layers"]
    services = {".".join(service.run.split(".")[:2]) for service in CATALOGUE.services.values()}

    assert set(linter["root_packages"]) == set(PACKAGES)
    assert {name for layer in layers["layers"] for name in layer.split(" | ")} == set(PACKAGES)
    assert services <= set(independence["modules"])


def topics_in(file: Path) -> Iterator[str]:
    """String literals that are topic names; prose that mentions one is no such literal."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _TOPIC.fullmatch(node.value):
            yield node.value


@functools.cache
def named_topics() -> dict[str, set[str]]:
    files = [file for package in PACKAGES for file in sorted((REPOSITORY / package).rglob("*.py"))]
    named = {str(file.relative_to(REPOSITORY)): set(topics_in(file)) for file in files}
    return {file: topics for file, topics in named.items() if topics}


def test_topics_are_named_in_topics_yaml_and_elsewhere_only_for_a_reason() -> None:
    without = set(named_topics()) - set(NAMES_TOPICS)
    stale = set(NAMES_TOPICS) - set(named_topics())

    assert (without, stale) == (set(), set()), "find the topic by its event class, or give the reason in NAMES_TOPICS"


@pytest.mark.parametrize(("file", "topics"), named_topics().items(), ids=list(named_topics()))
def test_a_topic_that_code_names_is_declared_and_without_prefix(file: str, topics: set[str]) -> None:
    assert topics <= set(CATALOGUE.topics)


@pytest.mark.parametrize("service", CATALOGUE.supervised, ids=[service.name for service in CATALOGUE.supervised])
def test_a_service_names_only_topics_that_it_declares(service: ServiceSpec) -> None:
    home = service.run.replace(".", "/")
    named = {
        topic
        for file, topics in named_topics().items()
        if file == f"{home}.py" or file.startswith(f"{home}/")
        for topic in topics
    }

    assert named <= {*service.reads, *service.replays, *service.writes}
