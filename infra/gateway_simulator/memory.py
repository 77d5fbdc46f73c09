"""What a gateway remembers when it starts again: orders, executions, positions, ids in use, market time."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra.errors import UsageError
from infra.gateway_simulator.accounts.account import Account, Owed, Position
from infra.gateway_simulator.accounts.opened import Accounts
from infra.gateway_simulator.instruments.calendar import local
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.orders.book import Book
from infra.gateway_simulator.orders.order_memory import (
    book_facts,
    execution_facts,
    execution_from,
    order_facts,
    order_from,
    recall_book,
)


class Memory:
    """A JSON file, replaced as a whole at each change."""

    def __init__(self, path: Path, catalogue: Catalogue) -> None:
        self._path = path
        self._catalogue = catalogue

    def recall(self, book: Book, accounts: Accounts) -> float | None:
        """Fill book and accounts; the market time then, or None when there is nothing to remember."""
        if not self._path.exists():
            return None
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            self._recall_accounts(told["accounts"], accounts)
            orders = {each["permanent_id"]: order_from(each, self._catalogue.by_id) for each in told["orders"]}
            for order in orders.values():
                if order.is_live:
                    book.live[(order.client_id, order.order_id)] = order
                else:
                    book.finished.append(order)
            book.executions = [execution_from(each, orders) for each in told["executions"]]
            book.highest = {int(client): number for client, number in told["highest"].items()}
            recall_book(told["book"], book)
            return float(told["market_time"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self._path} is no memory of a simulator ({error!r}): name another or remove it"
            ) from error

    def keep(self, book: Book, accounts: Accounts, market_time: float) -> None:
        today = local(market_time).date()  # of what has ended, a gateway tells no more than its day
        finished = [each for each in book.finished if local(each.finished_at).date() == today]
        transmitted = [each for each in book.live.values() if each.is_transmitted]  # the others end with the session
        orders = {each.permanent_id: each for each in (*finished, *transmitted)}
        told = {
            "market_time": market_time,
            "accounts": [_account_facts(each) for each in accounts.all()],
            "orders": [order_facts(each) for each in orders.values()],
            "executions": [
                execution_facts(each)
                for each in book.executions
                if each.order.permanent_id in orders and local(each.moment).date() == today
            ],
            "highest": book.highest,
            "book": book_facts(book),
        }
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text(json.dumps(told, default=str), encoding="utf-8")
        fresh.replace(self._path)

    def _recall_accounts(self, told: list[dict[str, Any]], accounts: Accounts) -> None:
        codes = ",".join(each["code"] for each in told)
        if codes != accounts.codes:
            raise UsageError(f"{self._path} belongs to account {codes}, not to {accounts.codes}")
        for each in told:
            self._recall_account(each, accounts.by_code[each["code"]])

    def _recall_account(self, told: dict[str, Any], account: Account) -> None:
        account.balances = _amounts(told["balances"])
        account.month, account.volumes = told["month"], _amounts(told["volumes"])
        account.owed = [Owed(date.fromisoformat(day), name, Decimal(amount)) for day, name, amount in told["owed"]]
        for contract_id, day, *amounts in told["positions"]:
            quantity, cost, realized, opening, flow, fees, opening_cost = (Decimal(each) for each in amounts)
            account.positions[contract_id] = Position(
                self._catalogue.by_id[contract_id],
                *(quantity, cost, realized, date.fromisoformat(day), opening, flow, fees, opening_cost),
            )


def _account_facts(account: Account) -> dict[str, Any]:
    return {
        "code": account.code,
        "balances": account.balances,
        "month": account.month,
        "volumes": account.volumes,
        "owed": [[each.day, each.currency, each.amount] for each in account.owed],
        "positions": [
            [
                *(each.instrument.contract_id, each.day, each.quantity, each.average_cost, each.realized),
                *(each.opening, each.flow, each.fees, each.opening_cost),
            ]
            for each in account.positions.values()
        ],
    }


def _amounts(told: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in told.items()}
