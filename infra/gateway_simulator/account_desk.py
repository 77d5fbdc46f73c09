"""Positions, account values, summaries and profit on request, and their changes to those who stay."""

from decimal import Decimal

from infra.gateway_simulator.account import CENT, Position
from infra.gateway_simulator.calendar import local
from infra.gateway_simulator.contracts import CURRENCY, NO_DEFINITION, position_fields
from infra.gateway_simulator.floor import Shared, invalid
from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.session import Session
from infra.gateway_simulator.wire import Fields

SUMMARY_TAGS = {
    "NetLiquidation",
    "TotalCashValue",
    "SettledCash",
    "AccruedCash",
    "BuyingPower",
    "EquityWithLoanValue",
    "GrossPositionValue",
    "InitMarginReq",
    "MaintMarginReq",
    "AvailableFunds",
    "ExcessLiquidity",
    "FullInitMarginReq",
    "FullMaintMarginReq",
    "FullAvailableFunds",
    "FullExcessLiquidity",
}


class AccountDesk:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._positions: set[Session] = set()
        self._updates: set[Session] = set()
        self._multi: set[tuple[Session, int]] = set()
        self._summaries: dict[tuple[Session, int], set[str]] = {}
        self._profits: dict[tuple[Session, int], Instrument | None] = {}
        self._told_profits: dict[tuple[Session, int], tuple[Decimal, ...]] = {}
        self._start_worth: Decimal | None = None

    async def positions(self, session: Session, fields: Fields) -> None:
        self._positions.add(session)
        for each in self._shared.account.held():
            self._tell_position(session, each)
        session.send(62, 1)

    async def cancel_positions(self, session: Session, fields: Fields) -> None:
        self._positions.discard(session)

    async def positions_multi(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        if not self._is_ours(session, request_id, fields.text()):
            return
        for each in self._shared.account.held():
            contract = position_fields(each.instrument, with_exchange=False)
            cost = each.average_cost.quantize(Decimal("0.0000001"))
            session.send(71, 1, request_id, self._shared.account.code, *contract, each.quantity, cost, "")
        session.send(72, 1, request_id)

    async def account_updates(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        if not fields.flag():
            self._updates.discard(session)
            return
        if not self._is_ours(session, -1, fields.text()):
            return
        self._updates.add(session)
        self._tell_account(session)
        session.send(54, 1, self._shared.account.code, event="account download end")

    async def account_updates_multi(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        if not self._is_ours(session, request_id, fields.text()):
            return
        self._multi.add((session, request_id))
        self._tell_multi(session, request_id)
        session.send(74, 1, request_id)

    async def cancel_account_updates_multi(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        self._multi.discard((session, fields.whole()))

    async def summary(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        fields.skip(1)  # group: there is one account
        wanted = {each.strip() for each in fields.text().split(",") if each.strip()}
        self._summaries[(session, request_id)] = wanted
        self._tell_summary(session, request_id, wanted)
        session.send(64, 1, request_id)

    async def cancel_summary(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        self._summaries.pop((session, fields.whole()), None)

    async def profit(self, session: Session, fields: Fields) -> None:
        request_id = fields.whole()
        if self._is_ours(session, request_id, fields.text()):
            self._profits[(session, request_id)] = None
            self._tell_profit(session, request_id, None)

    async def profit_single(self, session: Session, fields: Fields) -> None:
        request_id = fields.whole()
        if not self._is_ours(session, request_id, fields.text()):
            return
        fields.skip(1)
        instrument = self._shared.catalogue.by_id.get(fields.whole())
        if instrument is None:
            session.error(request_id, *NO_DEFINITION)
            return
        self._profits[(session, request_id)] = instrument
        self._tell_profit(session, request_id, instrument)

    async def cancel_profit(self, session: Session, fields: Fields) -> None:
        key = (session, fields.whole())
        self._profits.pop(key, None)
        self._told_profits.pop(key, None)

    def dismiss(self, session: Session) -> None:
        self._positions.discard(session)
        self._updates.discard(session)
        self._multi = {each for each in self._multi if each[0] is not session}
        self._summaries = {key: each for key, each in self._summaries.items() if key[0] is not session}
        self._profits = {key: each for key, each in self._profits.items() if key[0] is not session}
        self._told_profits = {key: each for key, each in self._told_profits.items() if key[0] is not session}

    def on_fill(self, instrument: Instrument) -> None:
        """Tell the change to all who asked to stay informed."""
        position = self._shared.account.position(instrument)
        for session in self._positions:
            self._tell_position(session, position)
        for session in self._updates:
            self._tell_account(session, position)
        for session, request_id in self._multi:
            self._tell_multi(session, request_id)
        for (session, request_id), wanted in self._summaries.items():
            self._tell_summary(session, request_id, wanted)
        self.tell_profits()

    def tell_profits(self) -> None:
        for (session, request_id), instrument in self._profits.items():
            self._tell_profit(session, request_id, instrument)

    def _is_ours(self, session: Session, request_id: int, account: str) -> bool:
        if account in ("", self._shared.account.code, "All"):
            return True
        invalid(session, request_id, f"Invalid account code '{account[:20]}'.")
        return False

    def _tell_position(self, session: Session, position: Position) -> None:
        contract = position_fields(position.instrument, with_exchange=False)
        cost = position.average_cost.quantize(Decimal("0.0000001"))
        symbol = position.instrument.symbol
        values = (61, 3, self._shared.account.code, *contract, position.quantity, cost)
        session.send(*values, event="position sent", symbol=symbol)

    def _tell_account(self, session: Session, changed: Position | None = None) -> None:
        code = self._shared.account.code
        for key, value, currency in self._values():
            session.send(6, 2, key, value, currency, code)
        for each in [changed] if changed is not None else self._shared.account.held():
            mark = self._shared.mark(each.instrument)
            contract = position_fields(each.instrument, with_exchange=True)
            unrealized = self._shared.account.unrealized(each, self._shared.mark).quantize(CENT)
            worth = (mark * each.quantity).quantize(CENT)
            cost = each.average_cost.quantize(Decimal("0.0000001"))
            session.send(
                7, 8, *contract, each.quantity, mark, worth, cost, unrealized, each.realized.quantize(CENT), code
            )
        session.send(8, 1, f"{local(self._shared.now()):%H:%M}")

    def _tell_multi(self, session: Session, request_id: int) -> None:
        for key, value, currency in self._values():
            session.send(73, 1, request_id, self._shared.account.code, "", key, value, currency)

    def _tell_summary(self, session: Session, request_id: int, wanted: set[str]) -> None:
        everything = any(each.startswith("$LEDGER") for each in wanted)
        for key, value, currency in self._values():
            if key in wanted or (everything and key not in SUMMARY_TAGS):
                session.send(63, 1, request_id, self._shared.account.code, key, value, currency)

    def _tell_profit(self, session: Session, request_id: int, instrument: Instrument | None) -> None:
        """The account's profit, or one position's; only when it has changed."""
        figures = self._whole_profit() if instrument is None else self._single_profit(instrument)
        key = (session, request_id)
        if self._told_profits.get(key) != figures:
            self._told_profits[key] = figures
            session.send(94 if instrument is None else 95, request_id, *figures)

    def _whole_profit(self) -> tuple[Decimal, ...]:
        values = self._shared.account.values(self._shared.mark)
        if self._start_worth is None:
            self._start_worth = values["NetLiquidation"]
        return values["NetLiquidation"] - self._start_worth, values["UnrealizedPnL"], values["RealizedPnL"]

    def _single_profit(self, instrument: Instrument) -> tuple[Decimal, ...]:
        position = self._shared.account.position(instrument)
        unrealized = self._shared.account.unrealized(position, self._shared.mark).quantize(CENT)
        worth = (self._shared.mark(instrument) * position.quantity).quantize(CENT)
        realized = position.realized.quantize(CENT)
        return position.quantity, realized + unrealized, unrealized, realized, worth

    def _values(self) -> list[tuple[str, str, str]]:
        """Key, value and currency of everything that the gateway tells about an account."""
        told = [
            ("AccountCode", self._shared.account.code, ""),
            ("AccountType", "INDIVIDUAL", ""),
            ("AccountReady", "true", ""),
            ("Currency", CURRENCY, CURRENCY),
        ]
        amounts = self._shared.account.values(self._shared.mark)
        return [*told, *((key, f"{value:f}", CURRENCY) for key, value in amounts.items())]
