"""What /health says about live data."""

from consumers.api.live_health import live_facts
from consumers.api.views import Latest
from schemas.market import Delivery, Subscription
from tests.builders import NOON, SEEN


def test_feeds_are_counted_by_how_they_come_and_those_in_trouble_are_named() -> None:
    view = Latest[Subscription](lambda each: str(each.contract_id))
    told = [
        {"symbol": "AAPL", "feeds": {"bars": Delivery.LIVE, "quotes": Delivery.SAMPLED}},
        {"symbol": "IBM", "feeds": {"bars": Delivery.LIVE, "quotes": Delivery.DELAYED}, "problem": "quotes: 10167"},
        {"symbol": "GONE", "feeds": {}, "wanted_by": ()},
    ]
    for number, fields in enumerate(told, 1):
        event = Subscription(
            contract_id=number, event_time=NOON, ingest_time=SEEN, **({"wanted_by": ("ann",)} | fields)
        )
        view.apply(event, 0, number)

    (facts,) = live_facts(view).values()

    assert (facts["subscriptions"], facts["in_trouble"]) == (2, 1)
    assert (facts["feeds"]["live"], facts["feeds"]["sampled"], facts["feeds"]["delayed"]) == (2, 1, 1)
    assert facts["troubles"] == [
        {"symbol": "IBM", "feeds": {"bars": "live", "quotes": "delayed"}, "problem": "quotes: 10167"}
    ]
