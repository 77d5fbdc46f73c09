"""What an account may see live, and what a client is therefore sent: live, frozen, delayed or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from infra.errors import UsageError
from infra.gateway_simulator.instruments.instrument import Instrument

LIVE, FROZEN, DELAYED, DELAYED_FROZEN = 1, 2, 3, 4
DELAY_SECONDS = 900.0

_NOT_SUBSCRIBED = "Requested market data is not subscribed."
_ADDITIONAL = (
    "Requested market data requires additional subscription for API. "
    "See link in 'Market Data Connections' dialog for more details."
)
_PART = (
    "Part of requested market data is not subscribed. Subscription-independent ticks are still active."
    "Delayed market data is available."
)
_COMPETING = "No market data during competing live session"


class Permission(StrEnum):
    """Of one symbol."""

    LIVE = "live"
    PART = "part"  # live, without the generic ticks
    DELAYED = "delayed"
    API = "api"  # live in TWS alone: through the API delayed
    NONE = "none"  # not even delayed


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a request for market data gets: a data type, 0 for nothing, and what is said about it."""

    data_type: int
    code: int = 0
    text: str = ""
    generic: bool = True


@dataclass
class Permissions:
    """All is permitted but for the symbols named in `of`; a competing session leaves nothing."""

    of: dict[str, Permission] = field(default_factory=dict)
    is_competing: bool = False

    @classmethod
    def chosen(cls, words: Mapping[str, str]) -> "Permissions":
        """Symbols with one of the words live, part, delayed, api, none."""
        try:
            return cls({symbol: Permission(word) for symbol, word in words.items()})
        except ValueError as error:
            raise UsageError(f"{error}: a permission is one of {', '.join(Permission)}") from None

    def sees_live(self, instrument: Instrument) -> bool:
        return self._of(instrument) in (Permission.LIVE, Permission.PART)

    def missing(self, instrument: Instrument) -> str:
        """The words in which ticks, bars and history are refused."""
        return f"No market data permissions for {listed_at(instrument)} {instrument.kind}"

    def verdict(self, instrument: Instrument, wanted: int, is_open: bool) -> Verdict:
        """For a client that has asked for data type `wanted`."""
        if self.is_competing:
            return Verdict(0, 10197, _COMPETING)
        if self.sees_live(instrument):
            return self._live(instrument, FROZEN if wanted in (FROZEN, DELAYED_FROZEN) and not is_open else LIVE)
        if wanted in (DELAYED, DELAYED_FROZEN):
            return self._delayed(instrument, DELAYED if is_open else wanted)
        where = f"{instrument.symbol} {listed_at(instrument)}/TOP/ALL"
        available = f"Delayed market data is available.{where}"
        return {
            Permission.API: Verdict(0, 10089, f"{_ADDITIONAL}{available}"),
            Permission.NONE: Verdict(0, 354, f"{_NOT_SUBSCRIBED}{where}"),
        }.get(self._of(instrument), Verdict(0, 354, f"{_NOT_SUBSCRIBED}{available}"))

    def _live(self, instrument: Instrument, data_type: int) -> Verdict:
        if self._of(instrument) is Permission.LIVE:
            return Verdict(data_type)
        return Verdict(data_type, 10090, f"{_PART}{instrument.symbol} {listed_at(instrument)}/TOP/ALL", generic=False)

    def _delayed(self, instrument: Instrument, data_type: int) -> Verdict:
        if self._of(instrument) is Permission.NONE:
            return Verdict(0, 10168, f"{_NOT_SUBSCRIBED} Delayed market data is not enabled.")
        return Verdict(data_type, 10167, f"{_NOT_SUBSCRIBED} Displaying delayed market data.")

    def _of(self, instrument: Instrument) -> Permission:
        return self.of.get(instrument.symbol, Permission.LIVE)


def listed_at(instrument: Instrument) -> str:
    """The exchange as IB writes it in such texts."""
    return {"NASDAQ": "ISLAND"}.get(instrument.exchange, instrument.exchange)
