"""What the answers about contracts and about the gateway itself mean."""

from decimal import Decimal
from typing import Any

from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.instruments.order_types import order_types
from infra.gateway_simulator.instruments.venues import MARKET_RULES, OPTION_ROUTES, US_ROUTES
from infra.gateway_simulator.market.prices import UNITS
from tests.contract.a_scene import ACCOUNT, START, Case, Scene, case, contract, listed

SIZES_SINCE = 164
NAMES_SINCE = 176
HOURS = {
    "XNYS": "20130228:0930-20130228:1600;20130301:0930-20130301:1600;20130302:CLOSED;20130303:CLOSED;"
    "20130304:0930-20130304:1600;20130305:0930-20130305:1600",
    "XASX": "20130301:1000-20130301:1600;20130302:CLOSED;20130303:CLOSED;20130304:1000-20130304:1600;"
    "20130305:1000-20130305:1600;20130306:1000-20130306:1600",
}


def described(scene: Scene, of: Instrument) -> dict[str, Any]:
    """All that contractDetails tells, but for the hours of markets that have none here."""
    ends = of.option or of.future
    primary = of.exchange if of.kind == "STK" else ""
    real = of.symbol == "AAPL" and of.option is None
    until = scene.market.world.series(of).last_sourced if real else None
    tags = [{"tag": "SCIZOR_SOURCE", "value": "real" if real else "synthetic"}]
    tags += [{"tag": "SCIZOR_REAL_UNTIL", "value": f"{until:%Y%m%d}"}] if until else []
    details = {
        "marketName": of.trading_class,
        "minTick": min(Decimal(step) for _, step in of.rule.steps) / UNITS,
        "orderTypes": order_types(of),
        "validExchanges": ",".join(of.venue.routes),
        "priceMagnifier": 1,
        "underConId": ends.underlying.contract_id if ends else 0,
        "longName": of.long_name,
        "contractMonth": f"{ends.expiry:%Y%m}" if ends else "",
        "timeZoneId": of.venue.zone_name,
        "aggGroup": 1,
        "underSymbol": ends.underlying.symbol if ends else "",
        "underSecType": ends.underlying.kind.value if ends else "",
        "marketRuleIds": ",".join(str(of.rule.number) for _ in of.venue.routes),
        "realExpirationDate": f"{ends.expiry:%Y%m%d}" if ends else "",
        "stockType": "COMMON" if of.kind == "STK" else "",
    }
    if scene.version >= SIZES_SINCE:
        smallest = "0.00000001" if of.kind == "CRYPTO" else "1"
        details |= dict.fromkeys(("minSize", "sizeIncrement"), Decimal(smallest))
        details["suggestedSizeIncrement"] = Decimal(100 if of.kind == "STK" else 1)
    return {
        **contract(of, of.route, "details.contract", primaryExchange=primary),
        **{f"details.{name}": value for name, value in details.items()},
        **listed("details.secIdList", tags),
    }


@case(10)
def contract_details(scene: Scene) -> Case:
    catalogue = scene.market.catalogue
    (future,) = (
        each for each in catalogue.named("FUT", "ES") if each.local_symbol == "ESH3" and each.expiry.year == 2013
    )
    (euro,) = (each for each in catalogue.named("CASH", "EUR") if each.currency == "USD")
    (coin,), (index,) = catalogue.named("CRYPTO", "BTC"), catalogue.named("IND", "SPX")
    (miner,) = (each for each in catalogue.named("STK", "BHP") if each.currency == "AUD")
    at = 1 if scene.version >= SIZES_SINCE else 2
    for number, of in enumerate((scene.apple, scene.right, future, euro, coin, index, miner), 1000):
        (message,) = scene.heard(10, number, at)
        if scene.version < SIZES_SINCE:  # in how many shares sizes are told, which no library hands on
            assert message[at + 13] == ("100" if of is scene.apple else "1")
        hours = HOURS.get(of.venue.market) if of.kind != "IND" else None
        told = {"reqId": number, **described(scene, of)}
        where = message.index(of.venue.zone_name) + 1
        told |= dict.fromkeys(("details.tradingHours", "details.liquidHours"), hours or message[where])
        if hours and of.trades_outside:
            told["details.tradingHours"] = hours.replace("0930", "0400").replace("1600", "2000")
        yield message, [("contractDetails", told)]


@case(52)
def contract_details_end(scene: Scene) -> Case:
    for number in range(1000, 1007):
        (message,) = scene.heard(52, number, 2)
        yield message, [("contractDetailsEnd", {"reqId": number})]


@case(79)
def symbol_samples(scene: Scene) -> Case:
    (message,) = scene.heard(79)
    found: dict[str, Any] = {
        f"contract.{name}": value
        for name, value in {
            "conId": 265598,
            "symbol": "AAPL",
            "secType": "STK",
            "primaryExchange": "NASDAQ",
            "currency": "USD",
            "description": scene.apple.long_name if scene.version >= NAMES_SINCE else "",
        }.items()
    }
    found |= {"derivativeSecTypes.count": 1, "derivativeSecTypes.0": "OPT"}
    yield message, [("symbolSamples", {"reqId": 1009, **listed("found", [found])})]


@case(75)
def option_parameters(scene: Scene) -> Case:
    messages = scene.heard(75)
    expiries = ["20130315", "20130419", "20130517", "20130621", "20130920", "20131220"]
    strikes = list(range(285, 601, 5))  # 35 % around the close of the day before, 444.57
    for message, exchange in zip(messages, OPTION_ROUTES, strict=True):
        told: dict[str, Any] = {"reqId": 1010, "exchange": exchange, "tradingClass": "AAPL", "multiplier": "100"}
        told |= {"underlyingConId": 265598, "expirations.count": len(expiries), "strikes.count": len(strikes)}
        told |= {f"expirations.{place}": each for place, each in enumerate(expiries)}
        told |= {f"strikes.{place}": each for place, each in enumerate(strikes)}
        yield message, [("securityDefinitionOptionParameter", told)]


@case(76)
def option_parameters_end(scene: Scene) -> Case:
    (message,) = scene.heard(76)
    yield message, [("securityDefinitionOptionParameterEnd", {"reqId": 1010})]


@case(93)
def market_rule(scene: Scene) -> Case:
    for number in (26, 9001):
        (message,) = scene.heard(93, number)
        steps = [
            {"lowEdge": Decimal(low) / UNITS, "increment": Decimal(step) / UNITS}
            for low, step in MARKET_RULES[number].steps
        ]
        yield message, [("marketRule", {"rule": number, **listed("steps", steps)})]


@case(82)
def smart_components(scene: Scene) -> Case:
    (message,) = scene.heard(82)
    parts = [
        {"bitNumber": bit, "exchange": exchange, "exchangeLetter": "ABCDEFG"[bit]}
        for bit, exchange in enumerate(US_ROUTES[1:])
    ]
    yield message, [("smartComponents", {"reqId": 1011, **listed("components", parts)})]


@case(77)
def soft_dollar_tiers(scene: Scene) -> Case:
    (message,) = scene.heard(77)
    yield message, [("softDollarTiers", {"reqId": 1012})]


@case(107)
def user_info(scene: Scene) -> Case:
    for message in scene.heard(107):
        yield message, [("userInfo", {"reqId": 1013})]


@case(80)
def depth_exchanges(scene: Scene) -> Case:
    (message,) = scene.heard(80)
    places = {(name, "STK") for name in ("ISLAND", "NYSE", "NASDAQ", "ARCA", "AMEX", "BATS", "IEX", "ASX")}
    places |= {("IDEALPRO", "CASH"), ("CME", "FUT"), ("SNFE", "FUT"), ("PAXOS", "CRYPTO")}
    places |= {(name, "OPT") for name in ("AMEX", "CBOE", "NASDAQOM", "PHLX")}
    told = [
        {"exchange": name, "secType": kind, "serviceDataType": "Deep", "aggGroup": 1} for name, kind in sorted(places)
    ]
    yield message, [("mktDepthExchanges", listed("exchanges", told))]


@case(78)
def family_codes(scene: Scene) -> Case:
    (message,) = scene.heard(78)
    yield message, [("familyCodes", listed("familyCodes", [{"accountID": ACCOUNT}]))]


@case(49)
def current_time(scene: Scene) -> Case:
    (message,) = scene.heard(49)
    yield message, [("currentTime", {"time": START})]


@case(15)
def managed_accounts(scene: Scene) -> Case:
    for message in scene.heard(15):
        yield message, [("managedAccounts", {"accountsList": ACCOUNT})]


@case(9)
def next_id(scene: Scene) -> Case:
    for message in scene.heard(9):
        yield message, [("nextValidId", {"orderId": 1})]


@case(4)
def errors(scene: Scene) -> Case:
    service = "Historical Market Data Service error message:"
    told = (
        (-1, 2104, "Market data farm connection is OK:usfarm"),
        (1008, 200, "No security definition has been found for the request"),
        (1022, 162, f"{service}API historical data query cancelled: 1022"),
        (1022, 366, "No historical data query found for ticker id:1022"),
        (1099, 300, "Can't find EId with tickerId:1099"),
        (2, 202, "Order Canceled - reason:Cancelled by Trader"),
        (99, 10147, "OrderId 99 that needs to be cancelled is not found."),
        (-1, 2100, "API client has been unsubscribed from account data."),
    )
    for number, code, text in told:
        (message,) = (each for each in scene.heard(4, number, 2) if each[3] == str(code))
        yield message, [("error", {"reqId": number, "code": code, "text": text})]
