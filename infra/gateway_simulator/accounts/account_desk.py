"""Positions, account values and summaries on request, and their changes to those who stay."""

from decimal import Decimal
from functools import partial

from infra.gateway_simulator.accounts.account import CENT, Account, Position
from infra.gateway_simulator.accounts.account_values import Told
from infra.gateway_simulator.accounts.account_watch import (
    Statements,
    Watch,
    accounts_meant,
    by_tags,
    everything,
    ledger_and_worth,
)
from infra.gateway_simulator.accounts.profit_desk import ProfitDesk
from infra.gateway_simulator.floor import Shared, invalid
from infra.gateway_simulator.instruments.calendar import local
from infra.gateway_simulator.instruments.contracts import position_fields
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields

REFRESH_SECONDS = 180  # IB: account values that have changed are told every three minutes, and after each fill
SUMMARIES_MAX = 2  # of one client
TOO_MANY_SUMMARIES = (
    "Error processing request.-'sm' : cause - Maximum number of account summary requests exceeded; "
    "desubscribe to previous request first"
)
UNSUBSCRIBED = "API client has been unsubscribed from account data."
OVERRIDDEN = "New account data requested from TWS.  API client has been unsubscribed from account data."
HELD_BY_OTHERS = "Unable to subscribe to account as the following clients are subscribed to a different account."
_COST_GRAIN = Decimal("0.0000001")


class AccountDesk:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.profits = ProfitDesk(shared)
        self._positions: set[Session] = set()
        self._positions_multi: dict[tuple[Session, int], list[Account]] = {}
        self._updates: dict[Session, Watch] = {}
        self._multi: dict[tuple[Session, int], Watch] = {}
        self._summaries: dict[tuple[Session, int], Watch] = {}
        self._portfolios: dict[Session, dict[int, tuple[Decimal, ...]]] = {}
        self._period = 0
        self._told_at = 0.0

    # positions

    async def positions(self, session: Session, fields: Fields) -> None:
        self._positions.add(session)
        for account in self._shared.accounts.all():
            for each in account.held():
                self._tell_position(session, account, each)
        session.send(62, 1)

    async def cancel_positions(self, session: Session, fields: Fields) -> None:
        self._positions.discard(session)

    async def positions_multi(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        wanted, others = (fields.text(), fields.text()), self._positions_multi
        accounts = accounts_meant(self._shared, (session, request_id), wanted, others)
        if not accounts:
            return
        self._positions_multi[(session, request_id)] = accounts
        for account in accounts:
            for each in account.held():
                self._tell_position_multi(session, request_id, account, each)
        session.send(72, 1, request_id)

    async def cancel_positions_multi(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        self._positions_multi.pop((session, fields.whole()), None)

    # account values

    async def account_updates(self, session: Session, fields: Fields) -> None:
        """There is one slot: a client holds one account at a time, and all clients the same one."""
        fields.skip(1)
        subscribes, code = fields.flag(), fields.text()
        if not subscribes:
            if self._updates.pop(session, None) is not None:
                session.error(-1, 2100, UNSUBSCRIBED)
            return
        account = self._shared.accounts.named(code)
        if account is None:
            invalid(session, -1, f"Invalid account code '{code[:20]}'.")
            return
        others = [each for each, watch in self._updates.items() if each is not session and watch.accounts != [account]]
        if others:
            ids = ",".join(str(each.client_id) for each in others)
            session.error(-1, 2101, f"{HELD_BY_OTHERS} {ids}")
            return
        held = self._updates.get(session)
        if held is not None and held.accounts != [account]:
            session.error(-1, 2100, OVERRIDDEN)
        self._updates[session] = Watch([account], everything, partial(_send_value, session))
        self._portfolios[session] = {}
        self._tell_updates(session, Statements())
        session.send(54, 1, account.code, event="account download end")

    async def account_updates_multi(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        accounts = accounts_meant(self._shared, (session, request_id), (fields.text(), fields.text()), self._multi)
        if not accounts:
            return
        chosen = ledger_and_worth if fields.flag() else everything
        watch = Watch(accounts, chosen, partial(_send_multi, session, request_id))
        self._multi[(session, request_id)] = watch
        watch.tell(Statements())
        session.send(74, 1, request_id)

    async def cancel_account_updates_multi(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        self._multi.pop((session, fields.whole()), None)

    async def summary(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id, group = fields.whole(), fields.text()
        accounts = accounts_meant(self._shared, (session, request_id), (group, ""), self._summaries)
        if not accounts:
            return
        mine = [number for each, number in self._summaries if each is session and number != request_id]
        if len(mine) >= SUMMARIES_MAX:
            session.error(request_id, 322, TOO_MANY_SUMMARIES)
            return
        watch = Watch(accounts, by_tags(fields.text().split(",")), partial(_send_summary, session, request_id))
        self._summaries[(session, request_id)] = watch
        watch.tell(Statements())
        session.send(64, 1, request_id)

    async def cancel_summary(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        self._summaries.pop((session, fields.whole()), None)

    # what the market and the clients do

    def dismiss(self, session: Session) -> None:
        self.profits.dismiss(session)
        self._positions.discard(session)
        self._updates.pop(session, None)
        self._portfolios.pop(session, None)
        for each in (self._positions_multi, self._multi, self._summaries):
            for key in [key for key in each if key[0] is session]:
                del each[key]

    def on_fill(self, account: Account, instrument: Instrument) -> None:
        """Tell the change to all who asked to stay informed."""
        position = account.position(instrument)
        for session in self._positions:
            self._tell_position(session, account, position)
        for (session, request_id), accounts in self._positions_multi.items():
            if account in accounts:
                self._tell_position_multi(session, request_id, account, position)
        self._refresh(account)
        self.profits.on_fill()

    def on_open(self) -> None:
        """Tell the positions that a split or their expiry has changed."""
        for account in self._shared.accounts.all():
            before = {each.instrument: each.quantity for each in account.positions.values()}
            for instrument, quantity in before.items():
                if account.position(instrument).quantity != quantity:
                    self.on_fill(account, instrument)

    def on_time(self) -> None:
        """Profits follow the market; every three minutes of market time, tell what else has changed."""
        if self._shared.now() == self._told_at:
            return  # bars of several instruments end together
        self._told_at = self._shared.now()
        self.profits.tell()
        period = int(self._shared.now() // REFRESH_SECONDS)
        if period != self._period:
            self._period = period
            self._refresh(None)

    def _refresh(self, account: Account | None) -> None:
        """Tell what is new about one account, or about all."""
        statements = Statements()
        for session, watch in self._updates.items():
            if account is None or account in watch.accounts:
                self._tell_updates(session, statements)
        for watch in (*self._multi.values(), *self._summaries.values()):
            if account is None or account in watch.accounts:
                watch.tell(statements)

    # how it is told

    def _tell_position(self, session: Session, account: Account, position: Position) -> None:
        contract = position_fields(position.instrument, with_exchange=False)
        values = (61, 3, account.code, *contract, position.quantity, position.average_cost.quantize(_COST_GRAIN))
        session.send(*values, event="position sent", symbol=position.instrument.symbol)

    def _tell_position_multi(self, session: Session, request_id: int, account: Account, position: Position) -> None:
        contract = position_fields(position.instrument, with_exchange=False)
        cost = position.average_cost.quantize(_COST_GRAIN)
        session.send(71, 1, request_id, account.code, *contract, position.quantity, cost, "")

    def _tell_updates(self, session: Session, statements: Statements) -> None:
        """Values, positions and the time, of what has changed."""
        watch = self._updates[session]
        (account,) = watch.accounts
        changed = watch.tell(statements)
        known = self._portfolios[session]
        for position in account.touched():
            number = position.instrument.contract_id
            figures = _portfolio_figures(account, position)
            if known.get(number, figures if not position.quantity else None) != figures:
                known[number] = figures
                contract = position_fields(position.instrument, with_exchange=True)
                session.send(7, 8, *contract, *figures, account.code)
                changed = True
        if changed:
            session.send(8, 1, f"{local(self._shared.now()):%H:%M}")


def _portfolio_figures(account: Account, position: Position) -> tuple[Decimal, ...]:
    """Quantity, price, worth, cost, unrealised and realised profit of message 7."""
    mark = account.market.mark(position.instrument)
    return (
        position.quantity,
        mark,
        position.worth(mark).quantize(CENT),
        position.average_cost.quantize(_COST_GRAIN),
        position.unrealized(mark).quantize(CENT),
        position.realized.quantize(CENT),
    )


def _send_value(session: Session, account: Account, line: Told) -> None:
    session.send(6, 2, line.key, line.value, line.currency, account.code)


def _send_multi(session: Session, request_id: int, account: Account, line: Told) -> None:
    session.send(73, 1, request_id, account.code, "", line.key, line.value, line.currency)


def _send_summary(session: Session, request_id: int, account: Account, line: Told) -> None:
    session.send(63, 1, request_id, account.code, line.key, line.value, line.currency)
