"""The judge: each promise of the order path as one function, which gives what contradicts it.

It knows the gateway's ledger, tables and topics, and what the laboratory did; it asks no service and runs none of
their code.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.faultlab.evidence import Evidence, exact, moment
from tests.faultlab.expectations import as_the_row_expects
from tests.faultlab.marks import Kill, Marks

EXECUTOR_CLIENT = 10
OVER = ("FILLED", "CANCELED", "REJECTED", "EXPIRED")
ZERO = Decimal(0)


@dataclass(frozen=True)
class Trial:
    """What is judged: a look at the world, what was done to it, and the limit on a position."""

    seen: Evidence
    marks: Marks
    position_max: Decimal
    halted_by_design: bool = False


def one_order_per_intent(trial: Trial) -> list[str]:
    """1. At most one live broker order per order intent."""
    ledger = trial.seen.ledger
    found = [f"orders {sorted(keys)} for the intent {ref}" for ref, keys in ledger.orders_of_intents().items()
             if ref and len(keys) > 1]  # fmt: skip
    accepted = Counter((line["client_id"], line["order_id"]) for line in ledger.of("order_accepted"))
    return found + [f"order {key} was accepted {count} times" for key, count in accepted.items() if count > 1]


def nothing_unapproved(trial: Trial) -> list[str]:
    """2. No order reaches the broker without an approval for exactly those fields, which nothing else has spent."""
    seen = trial.seen
    approved: dict[str, list[dict[str, Any]]] = {}
    for each in seen.bodies("trading.decisions.v1", "RiskDecision"):
        if each["approved"] and each["intent"]["type"] == "OrderIntent":
            approved.setdefault(each["intent_id"], []).append(each)
    found = []
    for line in seen.ledger.of("order_received"):
        if line.get("manual") or line.get("what_if"):
            continue
        decisions = approved.get(line["order_ref"], [])
        if not decisions:
            found.append(f"{line['order_ref']!r} was sent without an approval")
        elif len({each["decision_id"] for each in decisions}) > 1:
            found.append(f"{line['order_ref']} was approved more than once")
        elif not _same_terms(line, decisions[0]["intent"]):
            found.append(f"{line['order_ref']} was sent as {line}, and approved as {decisions[0]['intent']}")
    spent = Counter(row["decision_id"] for row in seen.tables["orders"] if row["decision_id"])
    return found + [f"the approval {each} was spent {count} times" for each, count in spent.items() if count > 1]


def _same_terms(line: dict[str, Any], intent: dict[str, Any]) -> bool:
    limit = intent.get("limit_price")
    return (
        line["side"] == intent["side"]
        and exact(line["quantity"]) == exact(intent["quantity"])
        and line["contract_id"] == intent["contract_id"]
        and (limit is None or exact(line["limit_price"]) == exact(limit))
    )


def within_limits(trial: Trial) -> list[str]:
    """3. No limit is exceeded at any instant: by what is held, and all that is open or approved at its worst."""
    return _beyond_at_the_gateway(trial) or _approved_beyond(trial)


def _beyond_at_the_gateway(trial: Trial) -> list[str]:
    held: dict[int, Decimal] = {}
    open_orders: dict[tuple[int, int], tuple[int, Decimal]] = {}
    for line in trial.seen.ledger.lines:
        key = (line.get("client_id", -1), line.get("order_id") or 0)
        sign = 1 if line.get("side") == "BUY" else -1
        if line["kind"] == "order_received" and not line.get("manual"):
            open_orders[key] = (line["contract_id"], sign * exact(line["quantity"]))
        elif line["kind"] in ("order_refused", "order_ended"):
            open_orders.pop(key, None)
        elif line["kind"] == "fill":
            contract, moved = line["contract_id"], sign * exact(line["quantity"])
            held[contract] = held.get(contract, ZERO) + moved
            if key in open_orders:
                open_orders[key] = (contract, open_orders[key][1] - moved)
        for contract in {each for each, _ in open_orders.values()} | set(held):
            mine = [left for each, left in open_orders.values() if each == contract]
            high = held.get(contract, ZERO) + sum((left for left in mine if left > 0), ZERO)
            low = held.get(contract, ZERO) + sum((left for left in mine if left < 0), ZERO)
            if max(high, -low) > trial.position_max:
                return [f"{contract} could come to {max(high, -low)} of {trial.position_max} at {line['wall_time']}"]
    return []


def _approved_beyond(trial: Trial) -> list[str]:
    """Whether an approval came to more than the limit, with all those before it that had not ended by then."""
    seen = trial.seen
    moves: list[tuple[datetime, int, int, Decimal]] = []  # when, contract, +1 a buy or -1 a sell, what it may come to
    decisions = {each["decision_id"]: each for each in seen.bodies("trading.decisions.v1", "RiskDecision")}
    updates = {(each["order_id"], each["sequence"]): each for each in seen.bodies("trading.orders.v1", "OrderUpdate")}
    for each in decisions.values():  # a relay that was killed tells again what it has told
        if each["approved"] and each["intent"]["type"] == "OrderIntent":
            sign = 1 if each["intent"]["side"] == "BUY" else -1
            decided = moment(each["basis"]["decided_at"])
            moves.append((decided, each["intent"]["contract_id"], sign, exact(each["intent"]["quantity"])))
    for each in updates.values():
        if each["status"] in OVER and not each["order_id"].startswith("external"):
            sign = 1 if each["side"] == "BUY" else -1
            never = exact(each["quantity"]) - exact(each.get("cumulative_quantity", 0))
            moves.append((moment(each["ingest_time"]), each["contract_id"], sign, -never))
    for line in seen.ledger.of("fill"):  # what was sold makes room for what is bought, and the reverse
        sign = -1 if line["side"] == "BUY" else 1
        moves.append((moment(line["wall_time"]), line["contract_id"], sign, -exact(line["quantity"])))
    worst: dict[tuple[int, int], Decimal] = {}
    for when, contract, sign, quantity in sorted(moves):
        worst[contract, sign] = worst.get((contract, sign), ZERO) + quantity
        if worst[contract, sign] > trial.position_max:
            return [f"approvals of {contract} came to {worst[contract, sign]} of {trial.position_max} at {when}"]
    return []


def every_fill_once(trial: Trial) -> list[str]:
    """4. No fill is lost or counted twice; a correction replaces."""
    seen, fills = trial.seen, trial.seen.ledger.fills.values()
    theirs = {each.root: (each.quantity, each.price) for each in fills}
    charged = {each.root: each.commission for each in fills if each.quantity}
    told = seen.bodies("trading.fills.v1", "Fill", "FillCorrected", "FillBusted")
    paid = {row["execution_id"]: row["amount"] for row in sorted(seen.tables["commissions"], key=_revision)}
    found = _differ("fills", theirs, _newest(seen.tables["fills"]))
    found += _differ("fills on the topic", theirs, _newest(told))
    return found + _differ("commissions", charged, {root: paid[root] for root in charged if root in paid})


def _revision(row: Any) -> int:
    return int(row.get("revision", 1))  # an older build does not tell the first


def _newest(rows: list[Any]) -> dict[str, tuple[Decimal, Decimal]]:
    newest: dict[str, tuple[Decimal, Decimal]] = {}
    for row in sorted(rows, key=_revision):
        root = row["execution_id"]
        if row["type"] == "FillBusted":
            newest[root] = (ZERO, newest[root][1] if root in newest else ZERO)
        else:
            newest[root] = (exact(row["last_quantity"]), exact(row["last_price"]))
    return newest


def positions_agree(trial: Trial) -> list[str]:
    """5. The position in the database is the broker's after 30 s of quiet; nothing stays reserved that does not live.

    And nobody trades before that was looked at: on each of its connections the executor asks for the broker's books
    before it places an order."""
    seen = trial.seen
    theirs = seen.ledger.held()
    found = _differ("the sum of fills", theirs, seen.ledger.positions())
    for table in ("positions", "book_positions"):
        found += _differ(table, theirs, {row["contract_id"]: row["quantity"] for row in seen.tables[table]
                                         if row["quantity"]})  # fmt: skip
    live = {each.reference for each in seen.ledger.live() if each.reference}
    unknowable = _lost_and_known_as_lost(seen)
    ours = {row["order_id"] for row in seen.tables["orders"] if row["decision_id"] and row["status"] not in OVER}
    found += _differ("live orders", live, ours - unknowable)
    found += _differ("reservations", live | unknowable, {row["order_id"] for row in seen.tables["reservations"]})
    return found + _traded_blindly(seen)


def _lost_and_known_as_lost(seen: Evidence) -> set[str]:
    """Orders that never came to the gateway, after which others did: nobody can tell, so they stay reserved for."""
    return {
        row["order_id"]
        for row in seen.tables["orders"]
        if row["status"] == "UNKNOWN" and row["order_id"] not in seen.ledger.orders_of_intents()
    }


def _traded_blindly(seen: Evidence) -> list[str]:
    asked: set[str] = set()
    for line in seen.ledger.lines:
        if line.get("client_id") != EXECUTOR_CLIENT:
            continue
        if line["kind"] == "connected":
            asked = set()
        elif line["kind"] == "request":
            asked.add(line["request"])
        elif line["kind"] == "order_received":
            missing = {"reqAllOpenOrders", "reqExecutions", "reqPositions"} - asked
            if missing:
                return [f"{line['order_ref']} was sent before {sorted(missing)} was asked"]
    return []


def every_bar_once(trial: Trial) -> list[str]:
    """6. No bar is lost or duplicated in storage."""
    seen = trial.seen
    told = {(each["contract_id"], moment(each["start"])): (each["close"], each["volume"])
            for each in seen.bodies("market.bars.v1", "Bar") if "start" in each}  # fmt: skip
    rows = Counter((row["contract_id"], row["start"]) for row in seen.tables["bars"])
    stored = {(row["contract_id"], row["start"]): (row["close"], row["volume"]) for row in seen.tables["bars"]}
    twice = [f"{each} is stored {count} times" for each, count in rows.items() if count > 1]
    return twice + (_differ("bars", told, stored) if trial.marks.bars else [])


def every_record_ends(trial: Trial) -> list[str]:
    """7. Every consumed record ends as applied, recognised duplicate or dead letter, or the account is halted."""
    seen = trial.seen
    halted = any(row["mode"] == "HALTED" for row in seen.tables["trading_state"])
    letters = {(topic.removesuffix(".dlq"), _origin(each.headers)) for topic, records in seen.topics.items()
               if topic.endswith(".dlq") for each in records}  # fmt: skip
    found = [f"poison at {topic} {partition}:{offset} has left no trace"
             for topic, partition, offset in trial.marks.poison
             if (topic, (partition, offset)) not in letters and not halted]  # fmt: skip
    if halted and trial.halted_by_design:
        return found
    found += [f"{where}: {count} records are not dealt with" for where, count in seen.behind.items()]
    intents = {each["intent_id"] for each in seen.bodies("trading.intents.v1")
               if isinstance(each.get("intent_id"), str)}  # fmt: skip
    decided = {each["intent_id"] for each in seen.bodies("trading.decisions.v1", "RiskDecision")}
    found += [f"{each} was never decided about" for each in sorted(intents - decided - _unreadable(trial))]
    acted = {each["order_id"] for each in seen.bodies("trading.orders.v1", "OrderUpdate")}
    approved = {each["intent_id"] for each in seen.bodies("trading.decisions.v1", "RiskDecision")
                if each["approved"] and each["intent"]["type"] == "OrderIntent"}  # fmt: skip
    return found + [f"the approval of {each} came to nothing" for each in sorted(approved - acted)]


def _unreadable(trial: Trial) -> set[str]:
    """Ids in records that were set aside."""
    poison = set(trial.marks.poison)
    return {
        str(each.body.get("intent_id"))
        for each in trial.seen.topics.get("trading.intents.v1", ())
        if each.body is not None and ("trading.intents.v1", each.partition, each.offset) in poison
    }


def _origin(headers: dict[str, bytes]) -> tuple[int, int]:
    return int(headers.get("scizor_dlq_partition", b"-1")), int(headers.get("scizor_dlq_offset", b"-1"))


def a_kill_holds(trial: Trial) -> list[str]:
    """8. After a kill is acknowledged: no new order, and a cancel for every open one."""
    ledger, found = trial.seen.ledger, []
    for killed in trial.marks.kills:
        later = _sent_after(killed, list(ledger.of("order_received")))
        if killed.fenced or len(later) > 1:
            found += [f"{each} was sent after the kill" for each in later]
        if not any(True for _ in ledger.of("global_cancel_received")):
            found += [f"no cancel of {each.reference}" for each in ledger.live() if not each.cancels]
        found += [f"{each.reference} lives on after the kill" for each in ledger.live()]
    return found


def _sent_after(killed: Kill, received: list[dict[str, Any]]) -> list[str]:
    """Intents of orders that came later and had not been written by then."""
    before = {line["order_ref"] for line in received if line["monotonic_ns"] <= killed.at_ns}
    refs = [line["order_ref"] for line in received if line["monotonic_ns"] > killed.at_ns]
    return [each for each in refs if each in before or each not in killed.written]


def unknown_is_no_trading(trial: Trial) -> list[str]:
    """9. What nobody could know led to no order."""
    seen = trial.seen
    found = [f"{line['order_ref']} was sent: {trial.marks.forbidden[line['order_ref']]}"
             for line in seen.ledger.of("order_received") if line["order_ref"] in trial.marks.forbidden]  # fmt: skip
    decided = {row["decision_id"]: row["decided_at"] for row in seen.tables["decisions"]}
    written = {row["order_id"]: (row["created_at"], decided.get(row["decision_id"])) for row in seen.tables["orders"]}
    for dark in trial.marks.dark:
        for line in seen.ledger.received_while(dark.begin_ns, dark.end_ns):
            begun = written.get(line["order_ref"], (None, None))[dark.of_decisions]
            if not line.get("manual") and (begun is None or begun > dark.at):
                found.append(f"{line['order_ref']} was sent while {dark.why}")
    return found


def _differ(what: str, theirs: Any, ours: Any) -> list[str]:
    return [] if theirs == ours else [f"{what}: {theirs} there, {ours} here"]


PROMISES: dict[int, Callable[[Trial], list[str]]] = {
    1: one_order_per_intent,
    2: nothing_unapproved,
    3: within_limits,
    4: every_fill_once,
    5: positions_agree,
    6: every_bar_once,
    7: every_record_ends,
    8: a_kill_holds,
    9: unknown_is_no_trading,
    10: lambda trial: as_the_row_expects(trial.seen, trial.marks),
}


FOR_GOOD = (1, 2, 3, 9)
"""Promises that, once broken, no later look can find kept."""


def is_for_good(found: dict[int, list[str]], before: dict[int, list[str]]) -> bool:
    """Whether two looks in a row find the same broken for good: in one, topics may be newer than the ledger."""
    return any(set(found.get(number, ())) & set(before.get(number, ())) for number in FOR_GOOD)


def judged(trial: Trial) -> dict[int, list[str]]:
    """What contradicts each promise, by its number; empty when nothing does."""
    return {number: found for number, promise in PROMISES.items() if (found := promise(trial))}
