"""The report of a day as one document: plain data that is written as JSON, and that the page is made from."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.daily import ContractDay, DayBook, Mark, Prices, Rate, Window
from engine.daily_books import AROUND, Compared, compared
from engine.daily_metrics import figures_of, notes_on
from engine.portfolio import ZERO, exactly
from engine.slippage import Slippage, Traded, slippage_of
from schemas.orders import Side

Row = Mapping[str, Any]
Document = dict[str, Any]


def document(material: Row) -> Document:
    """Of what `infra.day_material` has gathered. Money is text; None is what nobody knows."""
    window = Window(material["begins"], material["ends"])
    book = DayBook([*material["events"], *material["later"]], window, material["strategy_id"])
    prices = prices_of(material)
    contracts, charged = book.contracts(prices), book.commissions()
    costs = [slippage_of(_traded(row)) for row in material["orders"]]
    metrics = figures_of(material, prices, book)
    lists = {
        "trades": _listed(material["trades"]),
        "slippage": _slippage(costs, prices, material["most"]),
        "denials": _listed(material["denials"]) | {"by_reason": _by_reason(material)},
        "incidents": incidents(material),
    }
    found = {
        "account_id": material["account_id"],
        "strategy_id": material["strategy_id"],
        "day": material["day"].isoformat(),
        "zone": "America/New_York",
        "made_at": material["made_at"].isoformat(),
        "currency": _currency(material),
        "to_know": [
            *to_know(contracts, charged, prices, material),
            *_unquoted(material),
            *notes_on(metrics),
            *_left_out(lists),
        ],
        "pnl": vars(book.totals(contracts, prices)),
        "contracts": [vars(each) | {"mark": vars(each.mark) if each.mark else None} for each in contracts],
        "commissions": charged,
        **lists,
        "reconciliation": reconciliation(material),
        "rates": {currency: vars(rate) for currency, rate in prices.rates.items()},
        "metrics": metrics,
    }
    plain: Document = _plain(found)
    return plain


def _currency(material: Row) -> str:
    account = material["account"]
    return account["currency"] if account is not None else ""


def prices_of(material: Row) -> Prices:
    """The last prices of both ends of the day: of bars; of what risk has seen, where the day has no bar at all."""
    before: dict[int, Mark] = {}
    after: dict[int, Mark] = {}
    for row in material["closes"]:  # the days of each contract in their order, those after the day, too
        if row["at"] > material["ends"]:
            continue
        mark = Mark(Decimal(str(row["close"])), row["at"], "bar")
        after[row["contract_id"]] = mark
        if row["at"] <= material["begins"]:
            before[row["contract_id"]] = mark
    for row in material["marks"]:
        known = after.get(row["contract_id"])
        if row["at"] < material["ends"] and (known is None or known.at < row["at"]):
            after[row["contract_id"]] = Mark(row["price"], row["at"], "risk")
    account = material["account"]
    rates = {}
    if account is not None:
        told = {currency: Decimal(rate) for currency, rate in account["rates"].items()}
        stale = account["rates_stale"]
        rates = {currency: Rate(rate, account["told_at"], stale) for currency, rate in told.items()}
        rates[account["currency"]] = Rate(Decimal(1), None)
    return Prices(before, after, rates)


def to_know(
    contracts: Sequence[ContractDay], charged: Mapping[str, Decimal], prices: Prices, material: Row
) -> list[str]:
    """Why a figure is missing, or less sure than it looks. `charged` is what was paid for executions, by currency."""
    notes = []
    if material["account"] is None:
        notes.append("The broker has told nothing about this account: its currency and its rates are not known.")
    if not material["events"] and not material["later"]:
        notes.append("Nothing has been traded in this account yet.")
    for each in contracts:
        if each.unrealised is None:
            notes.append(f"{each.symbol} was held and has no price at an end of the day: its profit is not known.")
        elif each.quantity and each.mark is not None and each.mark.at < material["begins"]:
            notes.append(
                f"{each.symbol} is valued at {each.mark.price} of {each.mark.at:%Y-%m-%d %H:%M}: a stale price."
            )
    if (material["events"] or material["later"]) and not any(each.bought or each.sold for each in contracts):
        notes.append("Nothing was traded on this day.")
    money = [(each.currency, f"{each.symbol} is") for each in contracts]
    money += [(currency, "commissions are") for currency, amount in charged.items() if amount]
    rates = [_rate_to_know(currency, what, prices, _currency(material)) for currency, what in money]
    return list(dict.fromkeys([*notes, *filter(None, rates)]))


def _rate_to_know(currency: str, what: str, prices: Prices, base: str) -> str:
    """At which rate money counts, or why it does not; nothing for the account's own."""
    rate = prices.rates.get(currency)
    if rate is None:
        return f"Nobody has told what {currency} is worth: {what} in no total."
    at = f"{rate.told_at:%Y-%m-%d %H:%M} UTC" if rate.told_at else "no known time"
    if rate.stale:
        return f"The rate of {currency} is of {at}, not of the day's end: {what} in no total."
    if currency == base:
        return ""
    return f"Money in {currency} counts at {rate.value} {base}, on all days: the broker's rate of {at}."


def _unquoted(material: Row) -> list[str]:
    if all(row["bid"] is not None for row in material["orders"]):
        return []
    why = "their delay goes to the price that risk had seen, and their spread is part of execution"
    return [f"No quote is known for some orders: {why}."]


def _left_out(lists: Document) -> list[str]:
    names = {"trades": "round trips", "slippage": "orders", "denials": "denials", "incidents": "incidents"}
    return [
        f"Of {lists[name]['count']:,} {what} {len(shown):,} are listed: what is counted and summed is of all."
        for name, what in names.items()
        if len(shown := lists[name]["orders" if name == "slippage" else "rows"]) < lists[name]["count"]
    ]


def _by_reason(material: Row) -> dict[str, int]:
    return {row["reason"]: row["denials"] for row in material["reasons"]}


def _traded(row: Row) -> Traded:
    def money(name: str) -> Decimal | None:
        return None if row[name] is None else Decimal(str(row[name]))

    return Traded(
        row["order_id"],
        row["strategy_id"],
        row["symbol"],
        row["currency"] or "",  # an order of which nobody knows the currency is in no total
        Side(row["side"]),
        exactly(row["filled"]),
        exactly(row["average_price"]),
        Decimal(row["decided"]),
        money("seen"),
        money("bid"),
        money("ask"),
    )


def _slippage(costs: Sequence[Slippage], prices: Prices, most: int) -> Document:
    """By order, as many as are listed; and of all, in the account's currency."""
    found: Document = {"orders": [vars(each.order) | _parts(each) for each in costs[:most]], "count": len(costs)}
    for name in ("total", "delay", "spread", "execution"):
        amounts = [prices.in_base(getattr(each, name) or ZERO, each.order.currency) for each in costs]
        found[name] = (
            exactly(sum((each for each in amounts if each is not None), ZERO)) if None not in amounts else None
        )
    each_worth = (
        prices.in_base(each.order.quantity * abs(each.order.decided), each.order.currency) or ZERO for each in costs
    )
    worth, total = sum(each_worth, ZERO), found["total"]
    found["basis_points"] = round(total / worth * 10_000, 2) if worth and total is not None else None
    return found


def _parts(each: Slippage) -> Document:
    parts = {name: getattr(each, name) for name in ("arrival", "total", "delay", "spread", "execution")}
    return parts | {"basis_points": each.basis_points}


def incidents(material: Row) -> Document:
    """Everything out of the ordinary, in the order of market time, what only has a wall time behind it."""
    found = [
        {"at": row["at"], "kind": row["rule"], "about": row["scope"], "what": row["detail"]}
        for row in material["stops"]
    ]
    found += [
        {"at": row["at"], "kind": f"order {row['status'].lower()}", "about": row["symbol"], "what": row["reason"]}
        for row in material["troubled"]
    ]
    words = {"FillCorrected": "execution corrected", "FillBusted": "execution busted"}
    found += [
        {
            "at": row["at"],
            "kind": words[row["type"]],
            "about": row["symbol"],
            "what": f"{row['execution_id']}, revision {row['revision']}",
        }
        for row in material["revised"]
    ]
    found += [
        {"at": row["at"], "kind": "gateway", "about": f"code {row['code']}", "what": row["text"]}
        for row in material["links"]
    ]
    told = (material[name] for name in ("stops", "troubled", "revised", "links"))
    return {"count": sum(_count(rows) for rows in told), "rows": sorted(found, key=lambda each: each["at"])}


def reconciliation(material: Row) -> Document | None:
    """Our positions beside the broker's, of the moment at which it told them; None when it has told nothing."""
    account = material["account"]
    if account is None:
        return None
    theirs = {int(contract): Decimal(quantity) for contract, quantity in account["positions"].items()}
    told_at = account["ingest_time"]
    found = compared([*material["events"], *material["later"]], theirs, told_at)
    return {
        "agrees": found.agrees,
        "not_compared": _not_compared(found, told_at),
        "differences": [vars(each) for each in found.differences],
        "told_at": told_at,
        "executions_since": found.later,
        "net_liquidation": account["net_liquidation"],
        "cash": account["cash"],
        "mode": account["mode"],
        "reason": account["reason"],
        "by": account["by"],
    }


def _not_compared(found: Compared, told_at: datetime) -> str | None:
    """Why there is no verdict; None where there is one."""
    if found.agrees is not None:
        return None
    when = f"{told_at:%H:%M:%S} UTC, within {AROUND.total_seconds():.0f} seconds"
    return (
        f"{', '.join(found.unsettled)} was executed around the broker's count of {when}: it may be in that count or not"
    )


def _listed(rows: Sequence[Row]) -> Document:
    """The rows, and how many there were: a report shows some hundreds at most."""
    shown = [{name: value for name, value in row.items() if name != "of"} for row in rows]
    return {"count": _count(rows), "rows": shown}


def _count(rows: Sequence[Row]) -> int:
    return rows[0]["of"] if rows else 0


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case Decimal():
            return f"{exactly(value):zf}"  # nothing is never less than nothing
        case datetime():
            return value.isoformat()
        case Side():
            return value.value
        case _:
            return value
