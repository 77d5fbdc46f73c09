"""An account in IB's words: the keys, values and currencies of account updates and summaries."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from infra.gateway_simulator.accounts.account import CENT, ZERO, Account
from infra.gateway_simulator.accounts.margin import LONG_INITIAL, standing_at
from infra.gateway_simulator.accounts.worth import Pot, Worth

LEVERAGE = 1 / LONG_INITIAL  # what a margin account can buy with a dollar of available funds
BASE = "BASE"

_LEDGER_GRAIN, _RATE_GRAIN = Decimal("0.0001"), Decimal("0.0000001")
_NOT_HELD = (
    "CorporateBondValue",
    "FundValue",
    "FutureOptionValue",
    "FxCashBalance",
    "IssuerOptionValue",
    "MoneyMarketFundValue",
    "MutualFundValue",
    "NetDividend",
    "TBillValue",
    "TBondValue",
    "WarrantValue",
)
"""Kinds of property that the gateway tells of every account, and that no instrument here is of."""


@dataclass(frozen=True, slots=True)
class Told:
    key: str
    value: str
    currency: str


def told_values(account: Account, worth: Worth) -> list[Told]:
    """All that a summary can ask for by tag, but for the ledger."""
    amounts = _amounts(account, worth)
    facts = {
        "AccountType": "INDIVIDUAL",
        "Cushion": f"{_share(amounts['ExcessLiquidity'], worth.net_liquidation):f}",
        "DayTradesRemaining": "-1",
        "HighestSeverity": "0",
        "Leverage": f"{_share(amounts['GrossPositionValue'], worth.net_liquidation).quantize(CENT):f}",
        "LookAheadNextChange": "0",
    }
    return [
        *(Told(key, value, "") for key, value in facts.items()),
        *(Told(key, f"{value.quantize(CENT):f}", account.base) for key, value in amounts.items()),
    ]


def told_facts(account: Account) -> list[Told]:
    """What account updates have and a summary has not."""
    return [Told("AccountCode", account.code, ""), Told("AccountReady", "true", "")]


def told_ledger(account: Account, worth: Worth) -> list[Told]:
    """The ledger: a group of lines in the base currency called BASE, then one for each currency."""
    whole = Pot(BASE, Decimal(1))
    for name in ("cash", "stocks", "options", "crypto", "futures_profit", "unrealized", "realized"):
        setattr(whole, name, worth.sum(name))
    return [each for pot in (whole, *worth.pots.values()) for each in _ledger(account, pot)]


def _ledger(account: Account, pot: Pot) -> Iterator[Told]:
    texts = {
        "AccountOrGroup": account.code,
        "Currency": pot.currency,
        "RealCurrency": pot.currency,
        "ExchangeRate": "1.00" if pot.rate == 1 else f"{pot.rate.quantize(_RATE_GRAIN).normalize():f}",
    }
    amounts = {
        "CashBalance": pot.cash,
        "TotalCashBalance": pot.cash,
        "NetLiquidationByCurrency": pot.net,
        "StockMarketValue": pot.stocks,
        "OptionMarketValue": pot.options,
        "Cryptocurrency": pot.crypto,
        "FuturesPNL": pot.futures_profit,
        "UnrealizedPnL": pot.unrealized,
        "RealizedPnL": pot.realized,
        "AccruedCash": ZERO,
        **dict.fromkeys(_NOT_HELD, ZERO),
    }
    for key, text in texts.items():
        yield Told(key, text, pot.currency)
    for key, amount in amounts.items():
        yield Told(key, _amount_text(amount), pot.currency)


def _amounts(account: Account, worth: Worth) -> dict[str, Decimal]:
    """Amounts in the base currency."""
    standing = standing_at(account, worth)
    available, excess = standing.equity - standing.initial, standing.equity - standing.maintenance
    regulated = LONG_INITIAL * worth.sum("stocks")
    cash, settled = worth.sum("cash"), worth.sum("settled")
    power = settled if account.is_cash_account else available * LEVERAGE
    return {
        "NetLiquidation": worth.net_liquidation,
        "TotalCashValue": cash,
        "SettledCash": settled,
        "AccruedCash": ZERO,
        "BuyingPower": max(power, ZERO),
        "EquityWithLoanValue": standing.equity,
        "PreviousDayEquityWithLoanValue": standing.equity - worth.sum("daily"),
        "GrossPositionValue": worth.sum("gross"),
        "RegTEquity": standing.equity,
        "RegTMargin": max(regulated, ZERO),
        "SMA": max(standing.equity - max(regulated, ZERO), ZERO),
        **dict.fromkeys(("InitMarginReq", "FullInitMarginReq", "LookAheadInitMarginReq"), standing.initial),
        **dict.fromkeys(("MaintMarginReq", "FullMaintMarginReq", "LookAheadMaintMarginReq"), standing.maintenance),
        **dict.fromkeys(("AvailableFunds", "FullAvailableFunds", "LookAheadAvailableFunds"), available),
        **dict.fromkeys(("ExcessLiquidity", "FullExcessLiquidity", "LookAheadExcessLiquidity"), excess),
    }


def _share(part: Decimal, whole: Decimal) -> Decimal:
    return (part / whole).quantize(Decimal("0.000001")) if whole > 0 else ZERO


def _amount_text(amount: Decimal) -> str:
    """Two decimals, or four where they are needed, as the ledger has them."""
    exact = amount.quantize(_LEDGER_GRAIN)
    return f"{exact.quantize(CENT) if exact == exact.quantize(CENT) else exact:f}"
