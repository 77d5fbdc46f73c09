"""Who stays informed about which accounts, and what each was told last: only what has changed is told again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from infra.gateway_simulator.accounts.account import Account
from infra.gateway_simulator.accounts.account_values import BASE, Told, told_facts, told_ledger, told_values
from infra.gateway_simulator.accounts.worth import Worth, worth_of
from infra.gateway_simulator.floor import Shared, invalid
from infra.gateway_simulator.protocol.session import Session

LEDGER = "$LEDGER"
REQUESTS_MAX = 1000  # of one kind, of all clients together
Key = tuple[Session, int]
_TOO_MANY = f"Maximum number of account requests ({REQUESTS_MAX}) exceeded; cancel one first"


def accounts_meant(shared: Shared, who: Key, wanted: tuple[str, str], others: Collection[Key]) -> list[Account]:
    """The accounts of a request that lasts, by code and model; the client is told when there are none, or no room.

    `others` are the requests of its kind.
    """
    code, model = wanted
    found = shared.accounts.group(code)
    if not found:
        invalid(*who, f"Invalid account code '{code[:20]}'.")
    elif model:
        invalid(*who, f"Invalid model code '{model[:20]}'.")
    elif len(others) >= REQUESTS_MAX and who not in others:
        invalid(*who, _TOO_MANY)
    else:
        return found
    return []


@dataclass
class Statements:
    """The lines of each account at one moment, made when first asked for."""

    _worths: dict[str, Worth] = field(default_factory=dict)
    _values: dict[str, list[Told]] = field(default_factory=dict)
    _ledgers: dict[str, list[Told]] = field(default_factory=dict)

    def values(self, account: Account) -> list[Told]:
        found = self._values.get(account.code)
        if found is None:
            found = self._values[account.code] = told_values(account, self._worth(account))
        return found

    def ledger(self, account: Account) -> list[Told]:
        found = self._ledgers.get(account.code)
        if found is None:
            found = self._ledgers[account.code] = told_ledger(account, self._worth(account))
        return found

    def everything(self, account: Account) -> list[Told]:
        return [*told_facts(account), *self.values(account), *self.ledger(account)]

    def _worth(self, account: Account) -> Worth:
        found = self._worths.get(account.code)
        if found is None:
            found = self._worths[account.code] = worth_of(account)
        return found


Chosen = Callable[[Statements, Account], Sequence[Told]]
Send = Callable[[Account, Told], None]


@dataclass
class Watch:
    """One subscription to the lines of some accounts."""

    accounts: list[Account]
    chosen: Chosen
    send: Send
    _told: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def tell(self, statements: Statements) -> bool:
        """Send what is new; whether anything was."""
        changed = False
        for account in self.accounts:
            for line in self.chosen(statements, account):
                key = (account.code, line.key, line.currency)
                if self._told.get(key) != line.value:
                    self._told[key] = line.value
                    self.send(account, line)
                    changed = True
        return changed


def everything(statements: Statements, account: Account) -> Sequence[Told]:
    return statements.everything(account)


def ledger_and_worth(statements: Statements, account: Account) -> Sequence[Told]:
    worth = [each for each in statements.values(account) if each.key == "NetLiquidation"]
    return [*worth, *statements.ledger(account)]


def by_tags(tags: Sequence[str]) -> Chosen:
    """What a summary's tags ask for.

    $LEDGER stands for the ledger in the base currency, $LEDGER:USD in that one, $LEDGER:ALL in all.
    """
    wanted = {each.strip() for each in tags if each.strip()}
    ledgers = {each.partition(":")[2] or BASE for each in wanted if each.partition(":")[0] == LEDGER}

    def chosen(statements: Statements, account: Account) -> Sequence[Told]:
        lines = [each for each in statements.values(account) if each.key in wanted]
        if ledgers:
            everywhere = "ALL" in ledgers
            lines += [each for each in statements.ledger(account) if everywhere or each.currency in ledgers]
        return lines

    return chosen
