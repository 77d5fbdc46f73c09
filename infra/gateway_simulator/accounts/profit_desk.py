"""Profit and loss on request: an account's and a single position's, told again whenever they change."""

from dataclasses import dataclass
from decimal import Decimal

from infra.gateway_simulator.accounts.account import CENT, ZERO, Account
from infra.gateway_simulator.accounts.account_watch import Key, accounts_meant
from infra.gateway_simulator.accounts.worth import worth_of
from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.instruments.contracts import NO_DEFINITION
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields


@dataclass
class Request:
    """The accounts that are summed up; the instrument of a single position."""

    accounts: list[Account]
    instrument: Instrument | None = None
    told: tuple[Decimal, ...] = ()


class ProfitDesk:
    """Daily profit runs from the close of the session before at each instrument's venue, realised profit with it.

    An account's figures are in its base currency, a position's in that of its instrument.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._requests: dict[Key, Request] = {}

    async def account(self, session: Session, fields: Fields) -> None:
        request_id = fields.whole()
        wanted = fields.text(), fields.text()
        accounts = accounts_meant(self._shared, (session, request_id), wanted, self._requests)
        if accounts:
            self._begin(session, request_id, Request(accounts))

    async def position(self, session: Session, fields: Fields) -> None:
        request_id = fields.whole()
        wanted = fields.text(), fields.text()
        accounts = accounts_meant(self._shared, (session, request_id), wanted, self._requests)
        if not accounts:
            return
        instrument = self._shared.catalogue.by_id.get(fields.whole())
        if instrument is None:
            session.error(request_id, *NO_DEFINITION)
            return
        self._begin(session, request_id, Request(accounts, instrument))

    async def cancel(self, session: Session, fields: Fields) -> None:
        if self._requests.pop((session, fields.whole()), None) is not None:
            self._follow()

    def dismiss(self, session: Session) -> None:
        for key in [key for key in self._requests if key[0] is session]:
            del self._requests[key]
        self._follow()

    def on_fill(self) -> None:
        self._follow()
        self.tell()

    def tell(self) -> None:
        for (session, request_id), request in self._requests.items():
            self._tell(session, request_id, request)

    def _begin(self, session: Session, request_id: int, request: Request) -> None:
        self._requests[(session, request_id)] = request
        self._follow()
        self._tell(session, request_id, request)

    def _follow(self) -> None:
        """Play the tape of whatever a profit depends on."""
        wanted: set[Instrument] = set()
        for request in self._requests.values():
            held = {each.instrument for account in request.accounts for each in account.held()}
            wanted |= held if request.instrument is None else held & {request.instrument}
        if wanted == self._shared.valued:
            return
        for instrument in wanted - self._shared.valued:
            self._shared.follow(instrument)
        self._shared.valued = wanted
        self._shared.refollow()

    def _tell(self, session: Session, request_id: int, request: Request) -> None:
        """Only when it has changed."""
        instrument = request.instrument
        figures = _whole(request.accounts) if instrument is None else _single(request.accounts, instrument)
        if figures != request.told:
            request.told = figures
            session.send(94 if instrument is None else 95, request_id, *figures)


def _whole(accounts: list[Account]) -> tuple[Decimal, ...]:
    """Daily, unrealised and realised profit, in the base currency of the first account."""
    base = accounts[0].base
    sums = [ZERO, ZERO, ZERO]
    for account in accounts:
        worth, rate = worth_of(account), account.market.rate(account.base, base)
        for at, name in enumerate(("daily", "unrealized", "realized")):
            sums[at] += worth.sum(name) * rate
    return tuple(each.quantize(CENT) for each in sums)


def _single(accounts: list[Account], instrument: Instrument) -> tuple[Decimal, ...]:
    """Quantity, daily, unrealised and realised profit, worth."""
    market = accounts[0].market
    mark, previous = market.mark(instrument), market.previous_close(instrument)
    positions = [each.position(instrument) for each in accounts]
    amounts = (
        sum((each.daily(mark, previous) for each in positions), ZERO),
        sum((each.unrealized(mark) for each in positions), ZERO),
        sum((each.realized for each in positions), ZERO),
        sum((each.worth(mark) for each in positions), ZERO),
    )
    return (sum((each.quantity for each in positions), ZERO), *(each.quantize(CENT) for each in amounts))
