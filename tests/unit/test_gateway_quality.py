"""What cannot be true is kept as a finding: no exception, nothing lost, the same record the same finding."""

import json
import math
from typing import Any

import pytest

from infra.gateway.quality import checked
from schemas.market import Bar, Quarantined, QuarantineRule, Quote, Tick
from tests.builders import a_bar, a_tick


def bar_values(**changes: Any) -> dict[str, Any]:
    return a_bar().model_dump(exclude={"type", "revision", "late"}) | changes


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"high": 440.0}, QuarantineRule.OHLC_RANGE),
        ({"low": 440.5}, QuarantineRule.OHLC_RANGE),
        ({"close": math.nan}, QuarantineRule.NOT_FINITE),
        ({"high": math.inf}, QuarantineRule.NOT_FINITE),
        ({"volume": math.inf}, QuarantineRule.NOT_FINITE),
        ({"volume": -1.0}, QuarantineRule.NEGATIVE_SIZE),
    ],
)
def test_an_impossible_bar_becomes_a_finding_with_the_record_as_it_came(
    changes: dict[str, float], rule: QuarantineRule
) -> None:
    finding = checked(Bar, bar_values(**changes))

    assert isinstance(finding, Quarantined)
    assert finding.rule is rule
    record = json.loads(finding.record)
    assert {name: float(record[name]) if record[name] != "nan" else math.nan for name in changes} == pytest.approx(
        changes, nan_ok=True
    )
    assert Quarantined.model_validate_json(finding.to_json()) == finding


def test_a_possible_bar_passes_also_with_negative_prices() -> None:
    values = bar_values(open=-37.0, high=-35.0, low=-40.0, close=-36.0)

    bar = checked(Bar, values)

    assert isinstance(bar, Bar)
    assert bar.low == -40.0


def test_the_same_record_makes_the_same_finding_whenever_it_was_seen() -> None:
    first = checked(Bar, bar_values(volume=-1.0))
    again = checked(Bar, bar_values(volume=-1.0, ingest_time=a_bar().event_time))

    assert isinstance(first, Quarantined)
    assert isinstance(again, Quarantined)
    assert first.quarantine_id == again.quarantine_id


def test_ticks_and_quotes_are_checked_too() -> None:
    tick = a_tick().model_dump(exclude={"type"})
    quote = {name: value for name, value in tick.items() if name not in ("price", "size")}
    quote |= {"bid": 440.0, "ask": 440.1, "bid_size": -1.0, "ask_size": 100.0}

    assert isinstance(checked(Tick, tick | {"price": math.nan}), Quarantined)
    assert isinstance(checked(Tick, tick), Tick)
    assert isinstance(checked(Quote, quote), Quarantined)
