"""One price out of a bar's four, and Heikin-Ashi bars."""

from typing import NamedTuple

from engine.indicators.borrowed import borrowed
from engine.indicators.indicator import Indicator

_BAR = ("open", "high", "low", "close")
_HALVINGS = 48  # the open of a Heikin-Ashi bar is half of the bar before, back to the first


def _price(name: str, function: str, takes: tuple[str, ...], says: str) -> Indicator:
    return borrowed(name, function, takes, (), says, ready=lambda: 1)


average_price = _price("average_price", "AVGPRICE", _BAR, "mean of open, high, low and close")
median_price = _price("median_price", "MEDPRICE", _BAR[1:3], "middle between high and low")
typical_price = _price("typical_price", "TYPPRICE", _BAR[1:], "mean of high, low and close")
weighted_close = _price("weighted_close", "WCLPRICE", _BAR[1:], "mean of high, low and twice the close")


class HeikinAshi(NamedTuple):
    """The four prices of a smoothed bar."""

    open: Indicator
    high: Indicator
    low: Indicator
    close: Indicator


heikin_ashi = HeikinAshi._make(
    borrowed(
        f"heikin_ashi.{output}",
        "HA",
        _BAR,
        (),
        f"{output} of the Heikin-Ashi bar",
        output=number,
        ready=lambda: 1,
        settled=lambda: _HALVINGS,
    )
    for number, output in enumerate(HeikinAshi._fields)
)
