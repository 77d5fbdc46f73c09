"""Which failures are worth another try, and which are not."""

import errno

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
)
from sqlalchemy import make_url

from infra.delivery import ExhaustedError, MalformedRecordError, TransientError, is_exhausted, is_transient
from infra.store.connection import understood


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


@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ENOMEM, "no memory"), MemoryError()]
)
def test_a_process_at_a_limit_of_its_own_ends_at_once_for_waiting_frees_nothing(error: Exception) -> None:
    of_the_store = understood(error, make_url("postgresql://scizor@127.0.0.1:5432/scizor"))

    assert is_exhausted(error)
    assert not is_transient(error)
    assert isinstance(of_the_store, ExhaustedError)
    assert not is_transient(of_the_store)
