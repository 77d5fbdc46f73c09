"""The accounts that the gateway manages, and what each is opened with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from infra.errors import UsageError
from infra.gateway_simulator.accounts.account import Account, Market

_CODE_MAX = 20


@dataclass(frozen=True, slots=True)
class Opening:
    """An account at its beginning: cash by currency; a cash account has no margin and sells nothing short."""

    code: str
    cash: Mapping[str, Decimal] = field(default_factory=dict)
    base: str = "USD"
    is_cash_account: bool = False

    def account(self, market: Market) -> Account:
        return Account(self.code, dict(self.cash), market, self.base, self.is_cash_account)


def opening(text: str) -> Opening:
    """An account as a command line names it: DU1234567:USD=1000000,AUD=5000, the base currency first; /cash at the end
    makes it a cash account."""
    named, slash, kind = text.partition("/")
    code, _, amounts = named.partition(":")
    if not code.isalnum() or len(code) > _CODE_MAX or (slash and kind != "cash"):
        raise UsageError(
            f"{text!r} is no account: write it as DU1234567:USD=1000000,AUD=5000, with /cash for no margin"
        )
    cash: dict[str, Decimal] = {}
    for each in filter(None, amounts.split(",")):
        currency, _, amount = each.partition("=")
        try:
            cash[currency.upper()] = Decimal(amount)
        except InvalidOperation:
            raise UsageError(f"{each!r} in {text!r} is no amount: write it as USD=1000000") from None
    return Opening(code, cash or {"USD": Decimal(0)}, next(iter(cash), "USD"), kind == "cash")


class Accounts:
    """All accounts that the gateway manages, in the order in which it lists them."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        listed = list(accounts)
        self.by_code = {each.code: each for each in listed}
        assert self.by_code, "a gateway manages at least one account"
        if len(self.by_code) < len(listed):
            raise UsageError(f"two accounts have the same code: {', '.join(each.code for each in listed)}")

    @property
    def first(self) -> Account:
        return next(iter(self.by_code.values()))

    @property
    def codes(self) -> str:
        """As the gateway lists them."""
        return ",".join(self.by_code)

    def all(self) -> list[Account]:
        return list(self.by_code.values())

    def named(self, code: str) -> Account | None:
        """The account that an order means: an empty code stands for the only one."""
        if not code and len(self.by_code) == 1:
            return self.first
        return self.by_code.get(code)

    def group(self, name: str) -> list[Account]:
        """Those of a group or a single code; nothing when there is no such thing."""
        if name in ("", "All"):
            return self.all()
        found = self.by_code.get(name)
        return [found] if found is not None else []
