"""A short set of the fault laboratory: the whole table is run by `scizor faultlab`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.embedded.fostering import Nursery
from infra.embedded.kafka import KafkaServer
from infra.embedded.postgres import PostgresServer
from tests.faultlab.cases import CONTROLS, case_of
from tests.faultlab.laboratory import Laboratory
from tests.faultlab.running import Outcome, Runner

SEED = 7
SHORT = (
    "executor-killed-at-its-order",
    "executor-killed-at-a-statement",
    "risk-cut-at-a-statement",
    "postgres-cut",
    "kill-closed-after-acknowledgement",
    "burst-risk-killed-anytime",
)
CONTROL = "control-sends-again"


@pytest.fixture
def laboratory(
    tmp_path: Path, kafka_server: KafkaServer, postgres_server: PostgresServer, nursery: Nursery
) -> Iterator[Laboratory]:
    with ThreadPoolExecutor(1) as hands:
        yield Laboratory(tmp_path, kafka_server, postgres_server, nursery, hands)


async def outcome_of(laboratory: Laboratory, name: str) -> Outcome:
    number = [*SHORT, CONTROL].index(name)
    return await Runner(laboratory, number).run(case_of(name, SEED), SEED)


@pytest.mark.parametrize("name", SHORT)
async def test_the_order_path_keeps_its_promises_under_a_fault(laboratory: Laboratory, name: str) -> None:
    outcome = await outcome_of(laboratory, name)

    assert (outcome.error, outcome.violations) == ("", {})
    assert outcome.orders, "nothing was tried"


async def test_an_executor_that_sends_again_is_found_out(laboratory: Laboratory) -> None:
    outcome = await outcome_of(laboratory, CONTROL)

    assert outcome.error == ""
    assert set(outcome.violations) & set(CONTROLS[CONTROL].breaks)
