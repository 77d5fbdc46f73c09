"""Which failures are worth another try, and which are not."""

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
)

from infra.delivery import MalformedRecordError, TransientError, is_transient


@pytest.mark.parametrize(
    "error",
    [
        KafkaTimeoutError(),
        KafkaConnectionError(),
        NotLeaderForPartitionError(),
        TransientError("the database is away"),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
def test_a_world_that_is_away_is_waited_for(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        MessageSizeTooLargeError(),
        TopicAuthorizationFailedError(),
        MalformedRecordError("no value"),
        ValueError("a bug"),
    ],
)
def test_what_no_patience_helps_is_not_tried_for_ever(error: Exception) -> None:
    assert not is_transient(error)
