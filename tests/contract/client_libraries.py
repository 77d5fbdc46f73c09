"""Three client libraries in this process: what they make of a message, and how they encode a request."""

import dataclasses
import enum
import functools
import importlib
import inspect
import logging
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

import ib_insync
import ibapi.client
import ibapi.contract
import ibapi.decoder
import ibapi.execution
import ibapi.order
import ibapi.order_cancel
import ibapi.order_condition
import ibapi.scanner
import ibapi.tag_value
import ibapi.wrapper

from tests.an_ib_async import ib_async_folder

Called = tuple[str, dict[str, Any]]
"""A callback with its arguments by name, objects and lists among them by the names and places of their parts."""

UNSET = "unset"
"""Stands for the numbers that say that there is none, which is not the same as zero."""

_UNSET = frozenset({2147483647, 9223372036854775807, sys.float_info.max, 2**127 - 1})

# What the libraries call by different names.
_CALLBACKS = {"priceSizeTick": "tickPrice", "commissionAndFeesReport": "commissionReport"}
_ATTRIBUTES = {"commissionAndFees": "commission", "wap": "average", "commissionAndFeesCurrency": "commissionCurrency"}
_ATTRIBUTES |= {"minCommissionAndFees": "minCommission", "maxCommissionAndFees": "maxCommission", "yield_": "yield"}
_ATTRIBUTES |= {"familyCodeStr": "familyCode", "exch": "exchange", "tickAttribBidAsk": "attributes"}
_ATTRIBUTES |= {"tickAttribLast": "attributes", "count": "size"}
_ARGUMENTS = {
    "accountDownloadEnd": "account",
    "accountSummary": "reqId account tag value currency",
    "accountUpdateMulti": "reqId account modelCode key value currency",
    "commissionReport": "report",
    "completedOrder": "contract order state",
    "contractDetails": "reqId details",
    "error": "reqId code text reject",
    "histogramData": "reqId items",
    "historicalTicks": "reqId ticks done",
    "historicalTicksBidAsk": "reqId ticks done",
    "historicalTicksLast": "reqId ticks done",
    "historicalDataEnd": "reqId start end",
    "marketDataType": "reqId type",
    "marketRule": "rule steps",
    "mktDepthExchanges": "exchanges",
    "nextValidId": "orderId",
    "openOrder": "orderId contract order state",
    "position": "account contract position averageCost",
    "positionMulti": "reqId account modelCode contract position averageCost",
    "realtimeBar": "reqId time open high low close volume average count",
    "smartComponents": "reqId components",
    "symbolSamples": "reqId found",
    "tickReqParams": "reqId minTick bboExchange snapshotPermissions",
    "updateAccountTime": "time",
    "updateAccountValue": "key value currency account",
    "updatePortfolio": "contract position price worth averageCost unrealized realized account",
}
SIZED = {1: 0, 2: 3, 4: 5, 66: 69, 67: 70, 68: 71}
"""The kinds of prices that come with a size, and the kinds of those."""
_ERROR_TIME_AT = 1  # which IB's client puts among the arguments of `error`


class _Heard:
    """Stands in for a wrapper: keeps every callback."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.defaultTimezone = ZoneInfo("UTC")

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments))


class _Refuse(logging.Handler):
    """The libraries log what they cannot decode: here that is a failure."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage()) from (record.exc_info[1] if record.exc_info else None)


class _All(Iterator[bytes]):
    """Fields one after the other; knows whether all have been taken."""

    def __init__(self, fields: Iterable[bytes]) -> None:
        self.left = list(fields)

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        return self.left.pop(0)


class Library:
    """ib_insync, and ib_async which has the same layout."""

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self._module = module
        self.newest: int = module.client.Client.MaxClientVersion

    def make(self, kind: str, **attributes: Any) -> Any:
        """A Contract, an Order..., with its class's own defaults for all that is not said."""
        return getattr(self._module, kind)(**attributes)

    def condition(self, number: int, **attributes: Any) -> Any:
        return self._module.OrderCondition.createClass(number)(number, **attributes)

    def cancelling(self) -> tuple[Any, ...]:
        """What a cancel says besides the id."""
        return ()

    def exercising(self) -> tuple[Any, ...]:
        """What newer releases say besides when an option is exercised."""
        return ()

    def requests(self, version: int, name: str, *arguments: Any) -> list[list[str]]:
        """The messages that a call of the client sends, as fields."""
        sent: list[list[str]] = []

        base: Any = self._module.client.Client

        class Encoder(base):  # type: ignore[misc] # which of two classes is known only now
            def __init__(self) -> None:
                self._serverVersion = version

            def isConnected(self) -> bool:  # noqa: N802 # the library's name
                return True

            def sendMsg(self, message: str) -> None:  # noqa: N802 # the library's name
                sent.append(message.split("\0")[:-1])

        getattr(Encoder(), name)(*arguments)
        return sent

    def heard(self, version: int, message: list[str]) -> list[Called]:
        """The callbacks that a message becomes."""
        heard = _Heard()
        decoder = self._module.decoder.Decoder(heard, version)
        decoder.logger = logging.Logger("decoder")
        decoder.logger.addHandler(_Refuse())
        decoder.interpret(list(message))
        return [_named(name, arguments, self._module.wrapper.Wrapper) for name, arguments in heard.calls]


class OfficialLibrary(Library):
    """IB's own."""

    _PLACES = (ibapi.contract, ibapi.order, ibapi.execution, ibapi.scanner, ibapi.tag_value)

    def __init__(self) -> None:
        self.name = "ibapi"
        self.newest = 176  # of those that the simulator speaks

    def make(self, kind: str, **attributes: Any) -> Any:
        module = next(each for each in self._PLACES if hasattr(each, kind))
        return _set(getattr(module, kind)(), attributes)

    def condition(self, number: int, **attributes: Any) -> Any:
        attributes["isConjunctionConnection"] = attributes.pop("conjunction", "a") == "a"
        if "exch" in attributes:
            attributes["exchange"] = attributes.pop("exch")
        return _set(ibapi.order_condition.Create(number), attributes)

    def cancelling(self) -> tuple[Any, ...]:
        return (ibapi.order_cancel.OrderCancel(),)

    def exercising(self) -> tuple[Any, ...]:
        return ("", "", False)

    def requests(self, version: int, name: str, *arguments: Any) -> list[list[str]]:
        sent: list[list[str]] = []
        heard = _Heard()

        class Encoder(ibapi.client.EClient):  # type: ignore[misc] # IB's classes ship no types
            def sendMsg(self, number: int, message: str) -> None:  # noqa: N802 # IB's name
                sent.append([str(number), *message.split("\0")[:-1]])

            def isConnected(self) -> bool:  # noqa: N802 # IB's name
                return True

        encoder = Encoder(heard)
        encoder.serverVersion_ = version
        getattr(encoder, name)(*arguments)
        assert not heard.calls, f"{name} is refused by the library itself: {heard.calls}"
        return sent

    def heard(self, version: int, message: list[str]) -> list[Called]:
        decoder = _official_decoder(version)
        decoder.wrapper = heard = _Heard()
        fields = _All(each.encode() for each in message[1:])
        handling = decoder.msgId2handleInfo[int(message[0])]
        if handling.processMeth is not None:
            handling.processMeth(decoder, fields)
            assert not fields.left, f"{message[0]} at {version}: {fields.left} is left over"
        else:
            decoder.interpret(fields.left, int(message[0]))
        return _as_one([_named(name, arguments, ibapi.wrapper.EWrapper) for name, arguments in heard.calls])


@functools.cache
def _official_decoder(version: int) -> Any:
    return ibapi.decoder.Decoder(_Heard(), version)  # it looks at its own source, which takes its time


def _set(made: Any, attributes: dict[str, Any]) -> Any:
    for name, value in attributes.items():
        assert hasattr(made, name), f"{type(made).__name__} has no {name}"
        setattr(made, name, Decimal(str(value)) if name == "totalQuantity" else value)
    return made


def _as_one(calls: list[Called]) -> list[Called]:
    """A price and its size, which the other libraries hear together, with the moments of executions as numbers."""
    for _, parts in calls:
        if "execution.time" in parts:
            stamp, _, zone = parts["execution.time"].rpartition(" ")
            moment = datetime.strptime(stamp, "%Y%m%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone))
            parts["execution.time"] = moment.timestamp()
    if len(calls) == 2 and calls[0][0] == "tickPrice":
        price, size = calls[0][1], calls[1][1]
        assert SIZED[int(price["tickType"])] == size["tickType"]
        return [("tickPrice", price | {"size": size["size"]})]
    return calls


def _named(name: str, arguments: tuple[Any, ...], wrapper: type) -> Called:
    told = _CALLBACKS.get(name, name)
    names = list(inspect.signature(getattr(wrapper, name)).parameters)[1:]
    if told == "error" and len(names) > 4:
        names.pop(_ERROR_TIME_AT)
        arguments = (*arguments[:_ERROR_TIME_AT], *arguments[_ERROR_TIME_AT + 1 :])
    if told in _ARGUMENTS:
        names = _ARGUMENTS[told].split()
    assert len(names) == len(arguments), f"{name}{arguments} has not the arguments {names}"
    parts: dict[str, Any] = {}
    for argument, value in zip(names, arguments, strict=True):
        parts |= dict(_parts(argument.strip("_"), value))
    if "underlyingConId" in parts:
        parts["underlyingConId"] = float(parts["underlyingConId"])  # which is a text to some
    return told, parts


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        yield f"{name}.count", float(len(value))
        for place, each in enumerate(value):
            yield from _parts(f"{name}.{place}", each)
    elif (attributes := _attributes(value)) is not None:
        for attribute, each in attributes.items():
            if attribute == "isConjunctionConnection":
                yield f"{name}.conjunction", "a" if each else "o"
                continue
            yield from _parts(f"{name}.{_ATTRIBUTES.get(attribute, attribute)}", each)
    else:
        yield name, plain(value)


def _attributes(value: Any) -> dict[str, Any] | None:
    if isinstance(value, enum.Enum) or value is None or isinstance(value, (str, bytes, int, float, Decimal, datetime)):
        return None
    if hasattr(value, "_asdict"):
        return cast(dict[str, Any], value._asdict())
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return dict(vars(value)) if hasattr(value, "__dict__") else None


def plain(value: Any) -> Any:
    """One form for what the libraries hold in different types; None for all that is empty."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, enum.Enum):
        return None if value.name == "NoneItem" else value.value
    if isinstance(value, (bool, int, float, Decimal)):
        return UNSET if value in _UNSET or float(value) in _UNSET else float(value)
    return None if value in (None, "") else value


@functools.cache
def libraries() -> dict[str, Library]:
    folder = str(ib_async_folder())
    if folder not in sys.path:
        sys.path.append(folder)  # the last one: eventkit stays that of ib_insync, with which both decode
    ib_async = importlib.import_module("ib_async")
    known: tuple[Library, ...] = (Library("ib_insync", ib_insync), Library("ib_async", ib_async), OfficialLibrary())
    return {each.name: each for each in known}
