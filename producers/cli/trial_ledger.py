"""The ledger of trials as the command line sees it: this machine's book, and the topic of a running system."""

import sys
from collections.abc import Sequence

from infra.embedded.running import find_stack
from infra.errors import EnvironmentUnhealthyError
from infra.replay import fold
from infra.settings import Settings
from infra.topics import load_catalogue
from infra.trial_book import TrialBook
from producers.cli.desk import Desk
from producers.cli.records import run as run_with_kafka
from schemas.backtest import Trial


def reached(settings: Settings) -> Settings | None:
    """Settings that reach the running system's Kafka; None when nothing runs."""
    found = find_stack(settings) or settings
    return found if found.kafka else None


def every_trial(settings: Settings) -> list[Trial]:
    """All trials on record, here and in the running system; some may come twice."""
    here = TrialBook(settings.home).trials()
    system = reached(settings)
    if system is None:
        return here
    return [*run_with_kafka(_in_topic(system), system), *here]


def hand_over(settings: Settings) -> None:
    """Give the running system what was only on record here. Without one, it stays here, and counts as well."""
    system = reached(settings)
    if system is None:
        return
    try:
        TrialBook(settings.home).hand_over(lambda trials: run_with_kafka(_publish(system, trials), system))
    except EnvironmentUnhealthyError as error:
        print(f"note: the trials stay on record on this machine for now: {error}", file=sys.stderr)


async def _in_topic(settings: Settings) -> list[Trial]:
    topic = load_catalogue().topic_of(Trial).name
    return [event async for event, _ in fold(settings, [topic]) if isinstance(event, Trial)]


async def _publish(settings: Settings, trials: Sequence[Trial]) -> None:
    async with Desk(settings) as desk:
        for trial in trials:
            await desk.publish(trial)
