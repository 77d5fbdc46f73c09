"""Answers about contracts and the gateway itself."""

from decimal import Decimal

from infra.gateway_simulator.floor import Shared, invalid
from infra.gateway_simulator.instruments.contract_details import Directory, details_fields
from infra.gateway_simulator.instruments.contracts import NO_DEFINITION, Asked
from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.instruments.options import MULTIPLIER
from infra.gateway_simulator.instruments.venues import MARKET_RULES, OPTION_ROUTES, SMART, US_ROUTES
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields, Value

_AGGREGATE_GROUP = 1
_FIRST_LETTER = "A"  # of those by which quotes name their exchanges


class ReferenceDesk:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._directory = Directory(shared.catalogue, shared.world)

    async def contract_details(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        asked = Asked.taken_from(fields)
        with_expired, _, identifier = fields.flag(), fields.text(), fields.text()
        if not asked.contract_id and not asked.security_type:
            invalid(session, request_id, "Please enter a valid security type")
            return
        shared, now = self._shared, self._shared.now()
        found = [] if identifier else self._directory.candidates(asked, now, with_expired=with_expired)
        if not found:
            session.error(request_id, *NO_DEFINITION)
            return
        leading: tuple[Value, ...] = (8,) if session.version < 164 else ()
        for each in found:
            answer = details_fields(each, shared.world, version=session.version, now=now)
            session.send(10, *leading, request_id, *answer)
        session.send(52, 1, request_id)

    async def matching_symbols(self, session: Session, fields: Fields) -> None:
        request_id, pattern = fields.whole(), fields.text()
        found = self._shared.catalogue.matching(pattern)
        values: list[Value] = [79, request_id, len(found)]
        for each in found:
            kinds = self._derived_from(each)
            values += [each.contract_id, each.symbol, each.kind.value, each.exchange, each.currency, len(kinds), *kinds]
            if session.version >= 176:
                values += [each.long_name, ""]
        session.send(*values)

    def _derived_from(self, instrument: Instrument) -> list[str]:
        """The security types that have the instrument as their underlying."""
        catalogue = self._shared.catalogue
        kinds = [Kind.OPTION.value] if catalogue.chains.has(instrument) else []
        return [*kinds, Kind.FUTURE.value] if catalogue.has_futures(instrument) else kinds

    async def option_parameters(self, session: Session, fields: Fields) -> None:
        """Messages 75, one for each exchange, and 76: expiries and strikes of an underlying's options."""
        request_id, symbol, exchange = fields.whole(), fields.text(), fields.text()
        kind, number = fields.text(), fields.whole()
        underlying = self._shared.catalogue.by_id.get(number)
        if underlying is None or underlying.symbol != symbol or underlying.kind != kind:
            invalid(session, request_id, "Invalid contract id")
            return
        chain = list(self._directory.options(symbol, self._shared.now())) if not exchange else []
        expiries = sorted({f"{each.expiry:%Y%m%d}" for each in chain if each.expiry is not None})
        strikes = sorted({each.option.strike for each in chain if each.option is not None})
        for route in OPTION_ROUTES if chain else ():
            lists: tuple[Value, ...] = (len(expiries), *expiries, len(strikes), *strikes)
            session.send(75, request_id, route, underlying.contract_id, symbol, MULTIPLIER, *lists)
        session.send(76, request_id)

    async def current_time(self, session: Session, fields: Fields) -> None:
        session.send(49, 1, int(self._shared.now()))

    async def next_id(self, session: Session, fields: Fields) -> None:
        session.send(9, 1, self._shared.book.next_id(session.client_id))

    async def managed_accounts(self, session: Session, fields: Fields) -> None:
        session.send(15, 1, self._shared.accounts.codes)

    async def family_codes(self, session: Session, fields: Fields) -> None:
        """Message 78: every account by itself."""
        codes = self._shared.accounts.codes.split(",")
        session.send(78, len(codes), *(value for code in codes for value in (code, "")))

    async def market_rule(self, session: Session, fields: Fields) -> None:
        rule = fields.whole()
        found = MARKET_RULES.get(rule)
        if found is not None:
            steps = (Decimal(part) / UNITS for step in found.steps for part in step)
            session.send(93, rule, len(found.steps), *steps)
        else:
            session.error(-1, 321, f"Error validating request.-'sm' : cause - no market rule {rule}")

    async def smart_components(self, session: Session, fields: Fields) -> None:
        """Message 82: which exchanges a quote of SMART is made of."""
        request_id, quoted_by = fields.whole(), fields.text()
        if not quoted_by:
            invalid(session, request_id, "Please enter a BBO exchange")
            return
        parts = [each for each in US_ROUTES if each != SMART]
        letters = (chr(ord(_FIRST_LETTER) + place) for place in range(len(parts)))
        listed = (value for bit, part in enumerate(zip(parts, letters, strict=True)) for value in (bit, *part))
        session.send(82, request_id, len(parts), *listed)

    async def soft_dollar_tiers(self, session: Session, fields: Fields) -> None:
        """Message 77: the account has none."""
        session.send(77, fields.whole(), 0)

    async def user_info(self, session: Session, fields: Fields) -> None:
        """Message 107: no white branding."""
        session.send(107, fields.whole(), "")

    async def ignored(self, session: Session, fields: Fields) -> None:
        """Settings of the connection that change nothing here: log level, automatic binding of manual orders."""
