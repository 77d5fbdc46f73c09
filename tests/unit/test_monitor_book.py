"""Open alerts: told once, again after a while, worse at once, and never when they mend themselves in time."""

from dataclasses import replace

from consumers.monitor.book import Book
from infra.alerts import Alert, Severity

HOUR = 3600.0
WARNING = Alert("lag", Severity.WARNING, "risk is behind", "by 20000")


def titles(book: Book, now: float) -> list[str]:
    return [alert.title for alert in book.due(now)]


def test_what_happens_again_and_again_is_told_once_and_counted_until_the_time_is_over() -> None:
    book = Book(HOUR)
    for moment in range(3):
        book.report(WARNING, float(moment))
    assert titles(book, 3.0) == ["risk is behind (3 times)"]
    assert book.open[Severity.WARNING] == 1
    for later in (10.0, 20.0):
        book.report(WARNING, later)
        assert titles(book, later) == []
    book.report(WARNING, HOUR + 3.0)
    assert titles(book, HOUR + 3.0) == ["risk is behind (3 times)"]


def test_what_is_not_reported_again_is_not_told_again_and_ends_by_itself() -> None:
    book = Book(HOUR)
    book.report(WARNING, 0.0)
    assert titles(book, 0.0) == ["risk is behind"]
    assert titles(book, 2 * HOUR) == []
    assert book.open[Severity.WARNING] == 0


def test_what_mends_itself_in_time_is_never_told() -> None:
    book = Book(HOUR)
    book.report(WARNING, 0.0, after=30.0, mends=True)
    assert titles(book, 29.0) == []
    assert book.mend("lag") is None
    assert titles(book, 31.0) == []


def test_what_lasts_is_told_and_so_is_its_end() -> None:
    book = Book(HOUR)
    for moment in range(0, 50, 10):
        book.report(WARNING, float(moment), after=30.0, mends=True)
    assert titles(book, 30.0) == ["risk is behind"]
    resolved = book.mend("lag")
    assert resolved == replace(WARNING, title="resolved: risk is behind", resolved=True)
    assert book.mend("lag") is None


def test_what_gets_worse_is_told_at_once() -> None:
    book = Book(HOUR)
    book.report(WARNING, 0.0, mends=True)
    assert titles(book, 0.0) == ["risk is behind"]
    book.report(replace(WARNING, severity=Severity.CRITICAL, title="risk is lost"), 1.0, mends=True)
    assert titles(book, 1.0) == ["risk is lost"]
    assert titles(book, 2.0) == []
