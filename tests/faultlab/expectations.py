"""What single rows of the table expect beyond the promises: history whole, orders soon again, bounds held."""

from collections import Counter
from datetime import timedelta
from typing import Any

from tests.faultlab.evidence import Evidence, moment
from tests.faultlab.marks import Marks

RECOVERED_SECONDS = 30.0
_MINUTE = timedelta(minutes=1)
Bars = dict[tuple[int, Any], tuple[float, float]]


def as_the_row_expects(seen: Evidence, marks: Marks) -> list[str]:
    """10. What the row of the table expects beyond the promises."""
    of_strategies = _ended_alone(seen, marks) + _slowed_down(seen, marks)
    return _history_is_whole(seen, marks) + _traded_again(seen, marks) + of_strategies + marks.found


def _history_is_whole(seen: Evidence, marks: Marks) -> list[str]:
    """The bars that the gateway served are on the topic and in the table: all that were wanted, each once."""
    if not marks.history:
        return []
    served: Bars = {
        (line["contract_id"], moment(row[0])): (float(row[4]), float(row[5]))
        for line in seen.ledger.of("bars")
        for row in line["bars"]
    }
    told = [((each["contract_id"], moment(each["start"])), (each["close"], each["volume"]))
            for each in seen.bodies("market.history.v1", "HistoricalBar")]  # fmt: skip
    rows = [((row["contract_id"], row["start"]), (row["close"], row["volume"])) for row in seen.tables["bars"]]
    found = []
    for where, bars in (("on the topic", told), ("in the table", rows)):
        twice = [key for key, count in Counter(key for key, _ in bars).items() if count > 1]
        found += [f"{key} is {where} more than once" for key in twice[:3]]
        wrong = [key for key, bar in bars if served.get(key) != bar]
        found += [f"{key} is {where} as it was never served" for key in wrong[:3]]
        counts = Counter(contract_id for (contract_id, _), _ in bars)
        if counts != marks.history:
            found.append(f"bars {where}: {dict(counts)}, wanted: {marks.history}")
    return found


def _traded_again(seen: Evidence, marks: Marks) -> list[str]:
    """After each death of the executor an order reached the gateway in time."""
    moments = sorted(line["monotonic_ns"] for line in seen.ledger.of("order_received"))
    found = []
    for died in marks.deaths:
        seconds = min((each - died for each in moments if each > died), default=float("inf")) / 1e9
        if seconds > RECOVERED_SECONDS:
            found.append(f"the next order came {seconds:.1f} s after the executor's death")
    return found


def _ended_alone(seen: Evidence, marks: Marks) -> list[str]:
    """Who misbehaved has ended, who did not has taken in every bar."""
    newest = {each["strategy_id"]: each for each in seen.bodies("strategy.state.v1")}
    found = []
    for name, (state, bars) in marks.strategies.items():
        told = newest.get(name, {})
        if told.get("state") != state:
            found.append(f"{name} is {told.get('state')} and should be {state}: {told.get('error')}")
        elif bars and told["bars_seen"] != bars:
            found.append(f"{name} has seen {told['bars_seen']} of {bars} bars")
    return found


def _slowed_down(seen: Evidence, marks: Marks) -> list[str]:
    """Nobody had more orders approved in any minute than it may, and who wants more was denied some."""
    decisions = seen.bodies("trading.decisions.v1", "RiskDecision")
    found = []
    for name, most in marks.throttled.items():
        mine = {each["decision_id"]: each for each in decisions if each["strategy_id"] == name}.values()
        moments = sorted(moment(each["basis"]["decided_at"]) for each in mine if each["approved"])
        if any(last - first < _MINUTE for first, last in zip(moments, moments[most:], strict=False)):
            found.append(f"{name} had more than {most} orders approved in a minute")
        if all(each["approved"] for each in mine):
            found.append(f"{name} was denied nothing")
    return found
