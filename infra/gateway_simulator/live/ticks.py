"""IB's numbers of the ticks that market data consists of, and the generic ticks that can be asked for by number."""

BID_SIZE, BID, ASK, ASK_SIZE, LAST, LAST_SIZE, HIGH, LOW, VOLUME, CLOSE, OPEN = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14
LOW_13, HIGH_13, LOW_26, HIGH_26, LOW_52, HIGH_52, AVERAGE_VOLUME = range(15, 22)
HISTORICAL_VOLATILITY, IMPLIED_VOLATILITY = 23, 24
MARK_PRICE = 37
LAST_TIME = 45
SHORTABLE, TRADES_AND_VOLUME, HALTED = 46, 48, 49
TRADE_COUNT, LAST_REGULAR = 54, 57
OPEN_INTEREST, OPTION_VOLUME, AVERAGE_OPTION_VOLUME = (27, 28), (29, 30), 87  # of calls and of puts
AUCTION_VOLUME, AUCTION_PRICE, AUCTION_IMBALANCE = 34, 35, 36
FUNDAMENTAL_RATIOS, SHORTABLE_SHARES = 47, 89
BID_OPTION, ASK_OPTION, LAST_OPTION, MODEL_OPTION = 10, 11, 12, 13
NOT_TO_BORROW, EASY_TO_BORROW = 1, 3  # the latter: at least a thousand shares

SIZED = {BID: BID_SIZE, ASK: ASK_SIZE, LAST: LAST_SIZE}
DELAYED = {BID: 66, ASK: 67, LAST: 68, BID_SIZE: 69, ASK_SIZE: 70, LAST_SIZE: 71, HIGH: 72, LOW: 73, VOLUME: 74}
DELAYED |= {CLOSE: 75, OPEN: 76, LAST_TIME: 88, BID_OPTION: 80, ASK_OPTION: 81, LAST_OPTION: 82, MODEL_OPTION: 83}
DELAYED |= {HALTED: 90}

# Generic ticks that the gateway knows. Those without an answer here are taken and bring nothing, as at IB for an
# instrument that has none.
GENERIC = {
    100: "Option Volume",
    101: "Option Open Interest",
    104: "Historical Volatility",
    105: "Average Opt Volume",
    106: "impvolat",
    162: "Index Future Premium",
    165: "Misc. Stats",
    221: "Mark Price",
    225: "Auction",
    232: "Mark Price",
    233: "RTVolume",
    236: "inventory",
    258: "Fundamentals",
    292: "Wide_news",
    293: "TradeCount",
    294: "TradeRate",
    295: "VolumeRate",
    318: "LastRTHTrade",
    375: "RTTrdVolume",
    411: "rthistvol",
    456: "IBDividends",
    460: "Bond Factor Multiplier",
    576: "EtfNavBidAsk",
    577: "EtfNavLast",
    578: "EtfNavClose",
    586: "IPOHLMPRC",
    588: "Pl Price Delayed",
    595: "Short-Term Volume X Mins",
    614: "EtfNavMisc",
    623: "ETF Nav Frozen Last",
}
WITHOUT_QUOTES = "mdoff"  # in the list of generic ticks: none but those


def generic_ticks(text: str) -> frozenset[int] | None:
    """The numbers of a list such as 233,mdoff,292:BRFG; None when one of them is none of IB's."""
    words = [each.strip().partition(":")[0] for each in text.split(",") if each.strip()]
    numbers = [each for each in words if each != WITHOUT_QUOTES]
    if any(not each.isdecimal() or int(each) not in GENERIC for each in numbers):
        return None
    return frozenset(int(each) for each in numbers)
