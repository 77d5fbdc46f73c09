"""Comparisons of the books that were asked for: each is answered once, also over a restart."""

from consumers.executor.requests import REQUESTS_MAX, Requests
from schemas.reconciliation import Reconciled, ReconciliationAsked
from tests.builders import NOON, SEEN

TIMES = {"event_time": NOON, "ingest_time": SEEN}


def asked(name: str) -> ReconciliationAsked:
    return ReconciliationAsked(request_id=name, account_id="DU1234567", by="ann", **TIMES)


def test_a_request_that_is_delivered_once_more_after_its_answer_waits_for_none() -> None:
    requests = Requests()
    requests.hear(asked("one"))
    requests.hear(Reconciled(request_id="one", account_id="DU1234567", troubles=(), **TIMES))

    requests.hear(asked("one"))
    requests.hear(asked("two"))

    assert requests.of("DU1234567") == ["two"]


def test_what_is_kept_of_answers_has_a_bound() -> None:
    requests = Requests()
    requests.forget(str(number) for number in range(REQUESTS_MAX + 1))
    requests.hear(asked("0"))
    requests.hear(asked("1"))
    assert requests.of("DU1234567") == ["0"], "the oldest answer is forgotten"
