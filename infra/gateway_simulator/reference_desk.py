"""Answers about contracts and the gateway itself."""

from datetime import UTC, datetime
from decimal import Decimal

from infra.gateway_simulator.contracts import STOCK, Asked, details_fields
from infra.gateway_simulator.floor import Shared, invalid
from infra.gateway_simulator.prices import UNITS
from infra.gateway_simulator.session import Session
from infra.gateway_simulator.venues import MARKET_RULES
from infra.gateway_simulator.wire import Fields, Value


class ReferenceDesk:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def contract_details(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        asked = Asked.taken_from(fields)
        if not asked.contract_id and not asked.security_type:
            invalid(session, request_id, "Please enter a valid security type")
            return
        found = self._shared.find(session, request_id, asked)
        if found is None:
            return
        shared = self._shared
        now = shared.now()
        series = shared.world.series(found)
        answer = details_fields(found, series, version=session.version, now=now)
        leading: tuple[Value, ...] = (8,) if session.version < 164 else ()
        session.send(10, *leading, request_id, *answer)
        session.send(52, 1, request_id)

    async def matching_symbols(self, session: Session, fields: Fields) -> None:
        request_id, pattern = fields.whole(), fields.text()
        found = self._shared.catalogue.matching(pattern)
        values: list[Value] = [79, request_id, len(found)]
        for each in found:
            values += [each.contract_id, each.symbol, STOCK, each.exchange, each.currency, 0]
            if session.version >= 176:
                values += [each.long_name, ""]
        session.send(*values)

    async def head_timestamp(self, session: Session, fields: Fields) -> None:
        request_id = fields.whole()
        found = self._shared.find(session, request_id, Asked.taken_from(fields))
        if found is None:
            return
        fields.skip(3)
        opened = found.calendar.session(self._shared.world.series(found).first_day).open
        session.send(88, request_id, str(opened) if fields.whole() == 2 else _utc_form(opened))

    async def cancel_head_timestamp(self, session: Session, fields: Fields) -> None:
        """The answer has left already: there is nothing to cancel."""

    async def current_time(self, session: Session, fields: Fields) -> None:
        session.send(49, 1, int(self._shared.now()))

    async def next_id(self, session: Session, fields: Fields) -> None:
        session.send(9, 1, self._shared.book.next_id(session.client_id))

    async def managed_accounts(self, session: Session, fields: Fields) -> None:
        session.send(15, 1, self._shared.accounts.codes)

    async def market_rule(self, session: Session, fields: Fields) -> None:
        rule = fields.whole()
        found = MARKET_RULES.get(rule)
        if found is not None:
            steps = (Decimal(part) / UNITS for step in found.steps for part in step)
            session.send(93, rule, len(found.steps), *steps)
        else:
            session.error(-1, 321, f"Error validating request.-'sm' : cause - no market rule {rule}")

    async def ignored(self, session: Session, fields: Fields) -> None:
        """Settings of the connection that change nothing here: log level, automatic binding of manual orders."""


def _utc_form(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y%m%d-%H:%M:%S}"
