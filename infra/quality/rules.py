"""The table of rules: what each looks at, how much it matters, and what becomes of the record."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from schemas.market import QuarantineRule, Severity

WINDOW = 20
"""Bars of the same series, before the one that is judged, of which medians are taken."""
RANGES_MIN = 10
"""Fewer ranges than this have no median worth the name."""
SPIKE_RANGES = 15.0
"""A range of more than so many medians is a spike."""
QUIET = 0.0005
"""A median range counts as at least this part of the price: in a calm market one cent is no spike."""
BAD_FACTOR = 3.0
"""A price that many times away from all prices before it is a misprint."""
SPLITS = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0)
SPLIT_TOLERANCE = 0.03
TREND_MAX = 0.25
"""As far from the median a close may be before it is taken for a misprint, which no split is told by."""
STALE_REPEATS = 3
"""So many bars in a row that are the same in every price and in their volume, which is not zero."""
GAP_SECONDS = 60
"""Trading time without bars, within a session, of which nothing is said; a bar's length if that is more."""
GAP_SECONDS_AT_THE_EDGES = 900
"""The same from one session to another: opening auctions take their time."""
FUTURE_SECONDS = 60
"""By how much the clocks of a gateway and of ours may differ."""


class Effect(StrEnum):
    """What becomes of a record with a finding."""

    KEPT_OUT = "kept out"
    """Of topics and tables of market data, until a person releases it."""
    PASSES = "passes"
    DROPPED = "dropped"
    """It is there already."""


@dataclass(frozen=True)
class Rule:
    name: QuarantineRule
    looks_at: str
    breaks: str
    severity: Severity
    effect: Effect


def _error(name: QuarantineRule, looks_at: str, breaks: str) -> Rule:
    return Rule(name, looks_at, breaks, Severity.ERROR, Effect.KEPT_OUT)


def _warning(name: QuarantineRule, looks_at: str, breaks: str, effect: Effect = Effect.PASSES) -> Rule:
    return Rule(name, looks_at, breaks, Severity.WARNING, effect)


_TABLE = (
    _error(QuarantineRule.NOT_FINITE, "every price and size", "one is no number or infinite"),
    _error(QuarantineRule.NEGATIVE_SIZE, "volume and sizes", "one is below zero"),
    _error(QuarantineRule.OHLC_RANGE, "a bar", "open or close lies outside low..high"),
    _error(QuarantineRule.CROSSED_QUOTE, "a quote", "the bid is above the ask"),
    _error(
        QuarantineRule.FROM_THE_FUTURE, "a bar and the market's clock", f"it ends more than {FUTURE_SECONDS} s from now"
    ),
    _error(QuarantineRule.OUTSIDE_SESSION, "a bar and the exchange's calendar", "no session has a moment of it"),
    _warning(
        QuarantineRule.DUPLICATE, "a bar and the one before", "the same again: start, prices, volume", Effect.DROPPED
    ),
    _error(QuarantineRule.CONTRADICTION, "a bar and the one before", "the same start with other prices or volume"),
    _error(QuarantineRule.OUT_OF_ORDER, "a bar and the one before", "it starts earlier"),
    _error(
        QuarantineRule.BAD_PRINT,
        f"a bar, the close before and the median of the last {WINDOW}",
        f"high or low is {BAD_FACTOR:g} times away from both, and it is not like a split",
    ),
    _warning(
        QuarantineRule.SPLIT_LIKE,
        "the first bar of a session and the close before",
        f"the prices have changed as a split changes them (1.5:1 to 50:1, within {SPLIT_TOLERANCE:.0%}), all at once",
    ),
    _warning(
        QuarantineRule.SPIKE,
        f"a bar's true range and the median of the last {WINDOW}",
        f"it is more than {SPIKE_RANGES:g} medians (a median counts as at least {QUIET:.2%} of the price)",
    ),
    _warning(QuarantineRule.STALE, "a bar and those before", f"{STALE_REPEATS} in a row are the same, volume and all"),
    _warning(
        QuarantineRule.GAP,
        "a bar, the one before and the exchange's calendar",
        f"more than {GAP_SECONDS} s of trading, or a session of daily bars, are missing between them "
        f"({GAP_SECONDS_AT_THE_EDGES // 60} min where a session begins or ends)",
    ),
    _warning(
        QuarantineRule.ZERO_VOLUME, "a bar of trades", "nothing was traded, though the price moved or a day went by"
    ),
    _warning(QuarantineRule.EMPTY_ANSWER, "an answer of the gateway", "no bars of a time that has sessions"),
)

RULES = MappingProxyType({rule.name: rule for rule in _TABLE})
"""By name, in the order in which they are tried: of the errors of a bar the first one counts."""


@dataclass(frozen=True)
class Found:
    """What a rule found about one record."""

    rule: QuarantineRule
    reason: str

    @property
    def severity(self) -> Severity:
        return RULES[self.rule].severity

    @property
    def passes(self) -> bool:
        return RULES[self.rule].effect is Effect.PASSES
