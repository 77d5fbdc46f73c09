"""What /health says about live data: how the feeds come, and what is wrong with which."""

from collections import Counter
from typing import Any

from consumers.api.views import Latest
from schemas.market import Delivery, Subscription

_NAMED_MAX = 20


def live_facts(subscriptions: Latest[Subscription]) -> dict[str, Any]:
    """From memory; of feeds that are neither live nor sampled so many are named."""
    wanted = [each for each in subscriptions.all() if each.wanted_by]
    count = Counter(delivery.value for each in wanted for delivery in each.feeds.values())
    short = [
        {
            "symbol": each.symbol,
            "feeds": {feed: delivery.value for feed, delivery in sorted(each.feeds.items())},
            "problem": each.problem,
        }
        for each in sorted(wanted, key=lambda each: each.symbol)
        if each.problem or set(each.feeds.values()) - {Delivery.LIVE, Delivery.SAMPLED}
    ]
    return {
        "live_data": {
            "subscriptions": len(wanted),
            "feeds": {delivery.value: count[delivery.value] for delivery in Delivery},
            "in_trouble": len(short),
            "troubles": short[:_NAMED_MAX],
        }
    }
