"""Live trading as a person reads it: plain tables."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from producers.cli.records import table

_NOTHING = "no strategies yet: `scizor live start moving_average_crossover --symbols AAPL`"

_POSITION = {
    "account_id": "ACCOUNT",
    "symbol": "SYMBOL",
    "quantity": "QUANTITY",
    "average_price": "AVERAGE PRICE",
    "realised_pnl": "REALISED",
    "commission": "COMMISSION",
}
_ACCOUNT = {
    "account_id": "ACCOUNT",
    "net_liquidation": "NET LIQUIDATION",
    "cash": "CASH",
    "buying_power": "BUYING POWER",
}


def strategies_table(found: list[dict[str, Any]]) -> str:
    """One line a strategy; below them failures, and what keeps one that runs from trading."""
    if not found:
        return _NOTHING
    rows = [
        ("ID", "STATE", "STRATEGY", "SYMBOLS", "ACCOUNT", "BARS", "SIGNALS", "INTENTS", "DENIED", "P&L", "POSITIONS")
    ]
    rows += [
        (
            each["strategy_id"],
            f"{each['state']} (shadow)" if each["shadow"] else each["state"],
            each["strategy"],
            ",".join(each["symbols"]),
            each["account_id"],
            str(each["bars_seen"]),
            str(each["signals"]),
            str(each["intents"]),
            str(each["denied"]),
            f"{Decimal(each['pnl']):z.2f}",
            " ".join(f"{symbol}:{quantity}" for symbol, quantity in each["positions"].items()) or "-",
        )
        for each in found
    ]
    errors = [f"{each['strategy_id']}: {each['error']}" for each in found if each["error"]]
    held_up = [f"{each['strategy_id']}: {why}" for each in found for why in each.get("held_up_by", [])]
    return "\n".join([table(rows), *errors, *held_up])


def show(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """All of `scizor live status`."""
    parts = [strategies_table(found["strategies"])]
    if found["trading"]:
        parts.append(_columns(found["trading"], {"scope": "SCOPE", "mode": "TRADING", "by": "BY", "reason": "WHY"}))
    else:
        parts.append("trading is halted: no account has been compared with the broker's books yet")
    if not found["limits"]:
        parts.append("no limits are set, so every order is denied: `scizor live limits notional_max=25000`")
    if found["positions"]:
        parts.append(_columns(found["positions"], _POSITION))
    if found["accounts"]:
        parts.append(_columns(found["accounts"], _ACCOUNT))
    return "\n\n".join(parts)


def _columns(found: list[dict[str, Any]], heads: Mapping[str, str]) -> str:
    return table([tuple(heads.values()), *(tuple(str(each[name]) for name in heads) for each in found)])
