"""What all desks share: the world, its tape, the book, the accounts, the ledger and those who are connected."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from infra.clock import Clock
from infra.gateway_simulator.accounts.account import Account
from infra.gateway_simulator.accounts.brokerage import Brokerage
from infra.gateway_simulator.accounts.opened import Accounts
from infra.gateway_simulator.accounts.valuation import Valuation
from infra.gateway_simulator.faults.armed import Faults
from infra.gateway_simulator.faults.timetable import Timetable
from infra.gateway_simulator.faults.weather import Weather
from infra.gateway_simulator.instruments.calendar import Session as TradingDay
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.contracts import Asked
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.ledger import Ledger
from infra.gateway_simulator.live.feed import Feed
from infra.gateway_simulator.live.permissions import Permissions
from infra.gateway_simulator.market.market import World
from infra.gateway_simulator.market.tape import Tape
from infra.gateway_simulator.memory import Memory
from infra.gateway_simulator.orders.book import Book
from infra.gateway_simulator.protocol.pacing import Pacing
from infra.gateway_simulator.protocol.session import Session

NOT_SUPPORTED = "is not supported by this simulator"


@dataclass
class Shared:
    """One market, one book and the same accounts for all clients."""

    clock: Clock
    catalogue: Catalogue
    world: World
    book: Book
    accounts: Accounts
    brokerage: Brokerage
    valuation: Valuation
    ledger: Ledger
    feed: Feed = field(default_factory=Feed)
    faults: Faults = field(default_factory=Faults)
    weather: Weather = field(default_factory=Weather)
    sessions: dict[int, Session] = field(default_factory=dict)
    sockets: set[Session] = field(default_factory=set)  # all that are connected, also before they start the API
    memory: Memory | None = None
    latency: float = 0.0  # market seconds from the gateway to the exchange
    pacing: Pacing = Pacing.TODAY
    permissions: Permissions = field(default_factory=Permissions)
    charts: Feed = field(default_factory=Feed)  # historical bars that are kept up to date
    depths: Feed = field(default_factory=Feed)
    valued: set[Instrument] = field(default_factory=set)  # what somebody's profit depends on
    halted: dict[Instrument, int] = field(default_factory=dict)  # with the reason as tick 49 tells it
    _tape: Tape | None = None
    _timetable: Timetable | None = None
    _followed: dict[int, Instrument] = field(default_factory=dict)

    @property
    def account(self) -> Account:
        """The first one, which for most is the only one."""
        return self.accounts.first

    @property
    def tape(self) -> Tape:
        assert self._tape is not None, "the tape is set when the gateway is built"
        return self._tape

    @tape.setter
    def tape(self, tape: Tape) -> None:
        self._tape = tape

    @property
    def timetable(self) -> Timetable:
        assert self._timetable is not None, "the timetable is set when the gateway is built"
        return self._timetable

    @timetable.setter
    def timetable(self, timetable: Timetable) -> None:
        self._timetable = timetable

    @property
    def followed(self) -> Collection[Instrument]:
        return self._followed.values()

    def follow(self, instrument: Instrument) -> None:
        """Somebody begins to depend on what happens to the instrument."""
        self.tape.attend(instrument)
        self._followed[instrument.contract_id] = instrument

    def refollow(self) -> None:
        """Somebody has stopped to depend on an instrument."""
        feeds = (self.feed, self.charts, self.depths)
        wanted = self.book.instruments().union(*(each.instruments() for each in feeds), self.valued, self.halted)
        for instrument in [each for each in self._followed.values() if each not in wanted]:
            del self._followed[instrument.contract_id]
            self.world.unfollow(instrument)

    def remember(self) -> None:
        """Keep what a restart must find again."""
        if self.memory is not None:
            self.memory.keep(self.book, self.accounts, self.now())

    def now(self) -> float:
        return self.tape.now()

    def find(self, session: Session, request_id: int, asked: Asked) -> Instrument | None:
        """The instrument that is meant; the client is told when there is none."""
        found = asked.found_in(self.catalogue, self.now())
        if found is None:
            session.error(request_id, *asked.refusal(self.catalogue))
        return found

    def splits(self, session: TradingDay) -> list[tuple[Instrument, int]]:
        """What has more shares from the opening of the session on, of all that is followed: with the ratio."""
        return self.valuation.splits(session, sorted(self.followed, key=lambda each: each.contract_id))

    def is_lent(self, instrument: Instrument, day: date) -> bool:
        """Whether its shares can be borrowed to be sold short."""
        return instrument.contract_id not in self.book.withheld and self.brokerage.lends(instrument, day)

    def mark(self, instrument: Instrument) -> Decimal:
        """The last price, which positions are valued at."""
        return self.valuation.mark(instrument)


def invalid(session: Session, request_id: int, cause: str) -> None:
    """Error 321: the request makes no sense to the gateway."""
    session.error(request_id, 321, f"Error validating request.-'sm' : cause - {cause}")
