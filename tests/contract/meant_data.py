"""What the answers about prices mean: bars, ticks, quotes and depth, of the past and live."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from infra.gateway_simulator.history.past_bars import candles
from infra.gateway_simulator.history.past_ticks import PastTicks
from infra.gateway_simulator.live import ticks
from infra.gateway_simulator.live.depth_desk import ASK, BID
from infra.gateway_simulator.market.bars import DAY, Candle, Span
from infra.gateway_simulator.market.market import Quote
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.market.prints import Prints
from tests.contract.a_conversation import SCHEDULE_SINCE
from tests.contract.a_scene import NEW_YORK, START, Case, Meant, Scene, case, listed

LOTS_BEFORE = 164
OPENED = START - 1800
ORDER = ("open", "high", "low", "close", "volume")


def bar(candle: Candle, date: str) -> dict[str, Any]:
    told = {"date": date, "average": candle.average, "barCount": candle.count}
    return {f"bar.{name}": value for name, value in (told | {name: getattr(candle, name) for name in ORDER}).items()}


def in_new_york(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, NEW_YORK):%Y%m%d %H:%M:%S} US/Eastern"


def history(number: int, bars: list[tuple[Candle, str]], begin: float, end: float) -> list[Meant]:
    told: list[Meant] = [("historicalData", {"reqId": number, **bar(*each)}) for each in bars]
    ends = {"reqId": number, "start": in_new_york(begin), "end": in_new_york(end)}
    return [*told, ("historicalDataEnd", ends)]


@case(17)
def historical_data(scene: Scene) -> Case:
    apple, world = scene.apple, scene.market.world

    def made(begin: float, end: float, size: int, what: str) -> list[Candle]:
        span = Span(begin, end, size, what, START)
        return [each for portion in candles(world, apple, span) for each in portion]

    (daily,), (minutes,), (seconds,), (hours,) = (scene.heard(17, number) for number in (1020, 1021, 1022, 1024))
    begin = datetime(2013, 2, 22, 9, 30, tzinfo=NEW_YORK).timestamp()
    bars = [(each, f"{each.day:%Y%m%d}") for each in made(begin, START, DAY, "TRADES")]
    assert len(bars) == 5
    yield daily, history(1020, bars, begin, START)
    end = datetime(2013, 2, 27, 16, tzinfo=NEW_YORK).timestamp()
    bars = [(each, in_new_york(each.start)) for each in made(end - 1800, end, 60, "BID_ASK")]
    assert len(bars) == 30
    yield minutes, history(1021, bars, end - 1800, end)
    bars = [(each, str(each.start)) for each in made(START - 60, START, 5, "TRADES")]
    assert len(bars) == 12
    yield seconds, history(1022, bars, START - 60, START)
    begin = datetime(2013, 2, 27, 9, 30, tzinfo=NEW_YORK).timestamp()
    bars = [(each, str(each.start)) for each in made(begin, START, 3600, "MIDPOINT")]
    assert {each.volume for each, _ in bars} == {-1}
    yield hours, history(1024, bars, begin, START)


@case(106)
def historical_schedule(scene: Scene) -> Case:
    days = ("20130222", "20130225", "20130226", "20130227", "20130228")
    sessions = [{"startDateTime": f"{day}-09:30:00", "endDateTime": f"{day}-16:00:00", "refDate": day} for day in days]
    told = {"startDateTime": "20130222-09:30:00", "endDateTime": "20130228-10:00:00", "timeZone": "US/Eastern"}
    messages = scene.heard(106)
    assert len(messages) == (1 if scene.version >= SCHEDULE_SINCE else 0)
    for message in messages:
        yield message, [("historicalSchedule", {"reqId": 1023, **told, **listed("sessions", sessions)})]


@case(90)
def historical_data_update(scene: Scene) -> Case:
    message = scene.heard(90, 1022)[0]
    (candle,) = scene.candles(Span(START, START + 5, 5, "TRADES", START + 5))
    yield message, [("historicalDataUpdate", {"reqId": 1022, **bar(candle, str(int(START)))})]


@case(50)
def real_time_bar(scene: Scene) -> Case:
    for at, message in enumerate(scene.heard(50, 1046, 2)):
        begin = START + 5 * at
        (candle,) = scene.candles(Span(begin, begin + 5, 5, "TRADES", begin + 5))
        told = {name: getattr(candle, name) for name in (*ORDER, "average", "count")}
        yield message, [("realtimeBar", {"reqId": 1046, "time": begin, **told})]


@case(88)
def head_timestamp(scene: Scene) -> Case:
    (message,) = scene.heard(88)
    yield message, [("headTimestamp", {"reqId": 1030, "headTimestamp": "20000301-14:30:00"})]


def past_quotes(scene: Scene) -> list[Quote]:
    begin = datetime(2013, 2, 28, 9, 40, tzinfo=NEW_YORK).timestamp()
    found = list(PastTicks(scene.market.world).after(scene.apple, begin, START))
    last = int(found[19].moment)
    return [each for each in found[:60] if int(each.moment) <= last]


@case(98)
def past_trades(scene: Scene) -> Case:
    (message,) = scene.heard(98)
    told = [
        {"time": int(each.moment), "price": each.last / UNITS, "size": each.last_size, "exchange": "NASDAQ"}
        for each in past_quotes(scene)
    ]
    yield message, [("historicalTicksLast", {"reqId": 1031, **listed("ticks", told), "done": True})]


@case(97)
def past_bids_and_asks(scene: Scene) -> Case:
    (message,) = scene.heard(97)
    told = [
        {
            "time": int(each.moment),
            "priceBid": each.bid / UNITS,
            "priceAsk": each.ask / UNITS,
            "sizeBid": each.bid_size,
            "sizeAsk": each.ask_size,
        }
        for each in past_quotes(scene)
    ]
    yield message, [("historicalTicksBidAsk", {"reqId": 1032, **listed("ticks", told), "done": True})]


@case(96)
def past_midpoints(scene: Scene) -> Case:
    (message,) = scene.heard(96)
    told = [{"time": int(each.moment), "price": (each.bid + each.ask) / 2 / UNITS} for each in past_quotes(scene)]
    yield message, [("historicalTicks", {"reqId": 1033, **listed("ticks", told), "done": True})]


@case(89)
def histogram(scene: Scene) -> Case:
    (message,) = scene.heard(89)
    session = scene.apple.calendar.session(datetime.fromtimestamp(START, NEW_YORK).date())
    path = scene.market.world.path(scene.apple, session)
    prints = Prints.of(path).between(0.0, np.nextafter(START - OPENED, np.inf))
    told = [
        {"price": int(price) / UNITS, "size": int(prints.size[prints.price == price].sum())}
        for price in np.unique(prints.price)
    ]
    yield message, [("histogramData", {"reqId": 1034, **listed("items", told)})]


# live


def shown(scene: Scene, size: int) -> int:
    """Sizes of US stocks are in round lots for old clients."""
    return size // 100 if scene.version < LOTS_BEFORE else size


def after(scene: Scene) -> list[Quote]:
    """The quotes of the ten seconds after the start."""
    found = list(PastTicks(scene.market.world).after(scene.apple, START, START + 10))
    assert found
    return found


@case(81)
def tick_parameters(scene: Scene) -> Case:
    for number, least in ((1040, "0.01"), (1042, "0.01"), (1043, "0.25")):
        (message,) = scene.heard(81, number)
        told = {"minTick": Decimal(least), "bboExchange": "9c0001", "snapshotPermissions": 3}
        yield message, [("tickReqParams", {"reqId": number, **told})]


@case(58)
def market_data_type(scene: Scene) -> Case:
    (message,) = scene.heard(58, 1040, 2)
    yield message, [("marketDataType", {"reqId": 1040, "type": 1})]


@case(1)
def prices(scene: Scene) -> Case:
    quote = scene.quote()
    day = scene.market.world.so_far(scene.apple, START)
    known = (
        *((ticks.LAST, quote.last, quote.last_size), (ticks.BID, quote.bid, quote.bid_size)),
        *((ticks.ASK, quote.ask, quote.ask_size), (ticks.HIGH, day.high, 0), (ticks.LOW, day.low, 0)),
        *((ticks.OPEN, day.open, 0), (ticks.CLOSE, round(444.57 * UNITS), 0)),
    )
    for number in (1040, 1041):
        for kind, units, size in known:
            message = next(each for each in scene.heard(1, number, 2) if each[3] == str(kind))
            told = {"tickType": kind, "price": units / UNITS, "size": shown(scene, size)}
            yield message, [("tickPrice", {"reqId": number, **told})]
    trades = [each for each in scene.heard(1, 1040, 2) if each[3] == str(ticks.LAST)][1:]
    for message, each in zip(trades, after(scene), strict=False):
        told = {"tickType": ticks.LAST, "price": each.last / UNITS, "size": shown(scene, each.last_size)}
        yield message, [("tickPrice", {"reqId": 1040, **told})]


@case(2)
def sizes(scene: Scene) -> Case:
    quote, day = scene.quote(), scene.market.world.so_far(scene.apple, START)
    known = ((ticks.LAST_SIZE, quote.last_size), (ticks.BID_SIZE, quote.bid_size), (ticks.ASK_SIZE, quote.ask_size))
    for kind, size in (*known, (ticks.VOLUME, day.volume)):
        message = next(each for each in scene.heard(2, 1040, 2) if each[3] == str(kind))
        yield message, [("tickSize", {"reqId": 1040, "tickType": kind, "size": shown(scene, size)})]


@case(45)
def generic_ticks(scene: Scene) -> Case:
    for kind, value in ((ticks.SHORTABLE, 3), (ticks.HALTED, 0)):
        message = next(each for each in scene.heard(45, 1040, 2) if each[3] == str(kind))
        yield message, [("tickGeneric", {"reqId": 1040, "tickType": kind, "value": value})]


@case(46)
def texts(scene: Scene) -> Case:
    message = next(each for each in scene.heard(46, 1040, 2) if each[3] == str(ticks.LAST_TIME))
    told = {"tickType": ticks.LAST_TIME, "value": str(int(scene.quote().moment))}
    yield message, [("tickString", {"reqId": 1040, **told})]
    traded = [each for each in scene.heard(46, 1040, 2) if each[3] == str(ticks.TRADES_AND_VOLUME)][1:]
    for message, each in zip(traded, after(scene), strict=False):
        price, size, milliseconds, *_, single = message[4].split(";")
        assert (float(price), int(size), single) == (each.last / UNITS, each.last_size, "true")
        assert int(milliseconds) == int(each.moment * 1000)
        told = {"tickType": ticks.TRADES_AND_VOLUME, "value": message[4]}
        yield message, [("tickString", {"reqId": 1040, **told})]


@case(57)
def snapshot_end(scene: Scene) -> Case:
    (message,) = scene.heard(57)
    yield message, [("tickSnapshotEnd", {"reqId": 1041})]


@case(21)
def option_computation(scene: Scene) -> Case:
    message = scene.heard(21, 1042)[0]
    found = scene.market.world.greeks(scene.right, START)
    told = {
        "tickType": 13,
        "tickAttrib": 1,
        "impliedVol": found.implied_volatility,
        "delta": found.delta,
        "optPrice": found.price,
        "pvDividend": found.dividends,
        "gamma": found.gamma,
        "vega": found.vega,
        "theta": found.theta,
        "undPrice": found.underlying_price,
    }
    yield message, [("tickOptionComputation", {"reqId": 1042, **told})]


@case(99)
def ticks_by_tick(scene: Scene) -> Case:
    for at, each in enumerate(after(scene)):
        second, bid, ask = int(each.moment), each.bid / UNITS, each.ask / UNITS
        for number, kind in ((1047, 1), (1048, 2)):
            trade = {"price": each.last / UNITS, "size": each.last_size, "exchange": "NASDAQ"}
            told = {"reqId": number, "tickType": kind, "time": second, **trade}
            yield scene.heard(99, number)[at], [("tickByTickAllLast", told)]
        quoted = {"bidPrice": bid, "askPrice": ask, "bidSize": each.bid_size, "askSize": each.ask_size}
        yield scene.heard(99, 1049)[at], [("tickByTickBidAsk", {"reqId": 1049, "time": second, **quoted})]
        middle = {"reqId": 1050, "time": second, "midPoint": (each.bid + each.ask) / 2 / UNITS}
        yield scene.heard(99, 1050)[at], [("tickByTickMidPoint", middle)]


def rows(scene: Scene, message: int, number: int) -> list[tuple[list[str], dict[str, Any]]]:
    """The first row of each side, which is the best quote, as it is when the depth is asked for."""
    quote = scene.quote()
    best = {ASK: (quote.ask, quote.ask_size), BID: (quote.bid, quote.bid_size)}
    side_at = {12: 5, 13: 6}[message]
    found = []
    for side, (units, size) in best.items():
        first = next(each for each in scene.heard(message, number, 2) if each[side_at] == str(side))
        found.append((first, {"reqId": number, "side": side, "price": units / UNITS, "size": size}))
    return found


@case(12)
def depth(scene: Scene) -> Case:
    for message, told in rows(scene, 12, 1052):
        yield message, [("updateMktDepth", told)]


@case(13)
def smart_depth(scene: Scene) -> Case:
    for message, told in rows(scene, 13, 1051):
        assert message[4] in scene.apple.venue.routes
        yield message, [("updateMktDepthL2", told | {"marketMaker": message[4], "isSmartDepth": True})]
