"""What is missing in a strategy's journal stops it once: who deploys it again has seen it."""

from engine.live.hosts import shipped
from schemas.strategy import RunningState
from tests.unit.test_strategist_recovery import Life


def test_a_missing_entry_fails_the_strategy_until_it_is_deployed_again_and_no_longer() -> None:
    life = Life()
    lost = len(life.topic.entries) - 2
    del life.topic.entries[lost]
    first = life.recovered(shipped).strategy
    after, deployment = life.past, life.topic.entries[-1]
    again = deployment.revised(sequence=deployment.sequence + 1, fault="")
    life.topic.entries.append(again)

    anew = life.recovered(shipped).strategy

    assert (first.state, f"entry {lost + 1} of its journal is missing" in first.error) == (RunningState.FAILED, True)
    assert (after.gap, after.fault) == (0, first.error)
    assert (anew.state, anew.error) == (RunningState.DEPLOYED, "")


def test_a_missing_entry_is_not_forgotten_by_a_deployment_that_did_not_know_of_it() -> None:
    life = Life()
    deployment = life.topic.entries[0]
    life.topic.entries.append(deployment.revised(sequence=len(life.topic.entries) + 1))
    del life.topic.entries[2]

    assert life.past.gap == 3
    assert life.recovered(shipped).strategy.state is RunningState.FAILED
