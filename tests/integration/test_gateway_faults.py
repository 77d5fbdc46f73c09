"""The gateway connection against a gateway that misbehaves: every fault is a state or an error that says what it is."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from infra.clock import SystemClock
from infra.gateway import (
    AccountRefusedError,
    BrokerConnection,
    BrokerError,
    BrokerExecution,
    BrokerReport,
    ClientSlot,
    Connection,
    Feed,
    GatewayAnswerError,
    GatewayRequestError,
    GatewayStatus,
    GatewayTimeoutError,
    GatewayUnavailableError,
    Interrupted,
    Live,
    Market,
    MarketEvent,
    Orders,
    Series,
    Span,
)
from infra.gateway.pacing import Governor
from infra.gateway.slots import MESSAGES_A_SECOND
from infra.gateway.windows import Limits
from infra.settings import Settings
from schemas.market import Bar, Delivery, HistoricalBar, Quarantined, Quote
from schemas.orders import OrderType
from tests.builders import a_contract, an_intent
from tests.integration.a_gateway import (
    ACCOUNT,
    HASTY,
    Peer,
    ScriptedGateway,
    connected,
    framed,
    gateway_settings,
    scripted_gateway,
    until,
)

LIBRARY = os.environ.get("GATEWAY_LIBRARY", "ib_insync")
DAY = timedelta(days=1)
MONDAY = datetime(2013, 2, 25, tzinfo=UTC)


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    async with scripted_gateway() as gateway:
        yield gateway


@pytest.fixture
def settings(gateway: ScriptedGateway) -> Settings:
    return gateway_settings(gateway.port, ib_library=LIBRARY)


# connecting


async def test_a_missing_gateway_is_a_state_and_found_when_it_comes(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    await gateway.stop()
    async with connected(settings, wait=False) as connection:
        await until(lambda: "nothing answers" in connection.state.reason)
        with pytest.raises(GatewayUnavailableError, match="start TWS or IB Gateway"):
            await connection.usable(0.05)
        assert connection.why_not_ready()

        await gateway.start(gateway.port)
        await connection.usable(30)
        assert connection.why_not_ready() is None


async def test_a_client_id_in_use_is_told_at_once_and_by_its_name(gateway: ScriptedGateway, settings: Settings) -> None:
    gateway.refuse_client_id = True
    async with connected(settings, wait=False) as connection:
        await until(lambda: "client id 12 is in use" in connection.state.reason)  # a logon is given up after a minute

        gateway.refuse_client_id = False
        await connection.usable(30)


async def test_a_gateway_that_accepts_and_says_nothing_is_given_up(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    gateway.frozen = True
    async with connected(settings, timing=HASTY, wait=False) as connection:
        await until(lambda: "does not log us on" in connection.state.reason)


async def test_an_old_gateway_and_something_else_on_the_port_are_named(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    gateway.version = 150
    async with connected(settings, wait=False) as connection:
        await until(lambda: "speaks version 150" in connection.state.reason)


async def test_a_silent_socket_is_as_dead_as_a_closed_one(gateway: ScriptedGateway, settings: Settings) -> None:
    changes: list[tuple[GatewayStatus, bool]] = []
    async with connected(
        settings, timing=HASTY, prepare=lambda c: c.on_state(lambda s, r: changes.append((s.status, r)))
    ) as connection:
        gateway.frozen = True
        await until(lambda: any(status is GatewayStatus.DISCONNECTED for status, _ in changes))
        assert "silent" in connection.state.reason or connection.state.reason.endswith("s")

        gateway.frozen = False
        await connection.usable(30)
        assert changes[-1] == (GatewayStatus.CONNECTED, True)
        assert len(gateway.peers) == 2


async def test_a_stream_that_is_out_of_step_ends_the_connection_not_the_process(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    async with connected(settings) as connection:
        gateway.peer.writer.write(b"\xff\xff\xff\xff what is this")
        await until(lambda: len(gateway.peers) == 2 and connection.state.usable)


async def test_nothing_is_sent_before_the_logon_is_done(gateway: ScriptedGateway, settings: Settings) -> None:
    gateway.frozen = True
    async with connected(settings, wait=False) as connection:
        await asyncio.sleep(0.1)
        with pytest.raises(GatewayUnavailableError):
            await Market(connection).now()


async def test_messages_cut_anywhere_are_put_together(gateway: ScriptedGateway, settings: Settings) -> None:
    async def drip(peer: Peer, fields: list[str]) -> None:
        for byte in framed(49, 1, 1362061801) + framed(88, fields[1], "1362061800"):
            peer.writer.write(bytes([byte]))
            await peer.writer.drain()
            await asyncio.sleep(0)

    gateway.answers[87] = drip
    async with connected(settings) as connection:
        assert await Market(connection).head_timestamp(a_contract()) == datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


# asking


async def test_empty_refused_and_unanswered_history_are_three_things(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    answers = {"text": ""}

    def answer(peer: Peer, fields: list[str]) -> None:
        if answers["text"] == "empty":
            peer.say(17, fields[1], "", "", 0)
        elif answers["text"]:
            peer.error(fields[1], 162, f"Historical Market Data Service error message:{answers['text']}")

    gateway.answers[20] = answer
    async with connected(settings) as connection:

        async def ask(seconds: float = 60) -> list[HistoricalBar | Quarantined]:
            market = Market(connection, history_seconds=seconds)
            return await market.historical_bars(a_contract(), DAY, MONDAY, MONDAY + DAY)

        answers["text"] = "empty"
        assert await ask() == []
        answers["text"] = "HMDS query returned no data: AAPL@SMART Trades"
        assert await ask() == []
        answers["text"] = "invalid step: 1"
        with pytest.raises(GatewayRequestError, match="invalid step") as refused:
            await ask()
        assert refused.value.code == 162
        answers["text"] = ""
        with pytest.raises(GatewayTimeoutError):
            await ask(0.1)
        await until(lambda: len(gateway.requests(25)) == 3)  # or they would stay open at the gateway


async def test_who_asks_the_same_at_the_same_time_waits_for_the_same_answer(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    asked = asyncio.Event()
    gateway.answers[20] = lambda peer, fields: asked.set()
    week = Span(MONDAY, MONDAY + 5 * DAY)
    async with connected(settings) as connection:
        market = Market(connection)
        first, second, third = (asyncio.create_task(market.bars(a_contract(), Series(), week)) for _ in range(3))
        await asked.wait()
        second.cancel()
        await asyncio.wait([second])
        (request,) = gateway.requests(20)
        gateway.peer.say(17, request[1], "", "", 1, "20130225", 1, 2, 1, 2, 10, 1.5, 3)
        found = await asyncio.gather(first, third)
    assert [len(each.bars) for each in found] == [1, 1]
    assert [each.requests for each in found] == [1, 0]
    assert len(gateway.requests(20)) == 1


@pytest.mark.parametrize("nonsense", ["9999999999999", "2013022x", "20131345"])
async def test_an_answer_that_makes_no_sense_is_an_error_that_says_so(
    gateway: ScriptedGateway, settings: Settings, nonsense: str
) -> None:
    gateway.answers[20] = lambda peer, fields: peer.say(17, fields[1], "", "", 1, nonsense, 1, 2, 1, 2, 10, 1.5, 3)
    async with connected(settings) as connection:
        with pytest.raises(GatewayAnswerError, match="bars of AAPL cannot be used"):
            await Market(connection).historical_bars(a_contract(), DAY, MONDAY, MONDAY + DAY)


async def test_a_pacing_violation_is_waited_out(gateway: ScriptedGateway, settings: Settings) -> None:
    def answer(peer: Peer, fields: list[str]) -> None:
        if len(gateway.requests(20)) == 1:
            peer.error(
                fields[1], 162, "Historical Market Data Service error message:Historical data request pacing violation"
            )
        else:
            peer.say(17, fields[1], "", "", 2, "20130225", 1, 2, 1, 2, 10, 1.5, 3, "20130226", 1, 2, 3, 2, 10, 1.5, 3)

    gateway.answers[20] = answer
    governor = Governor(SystemClock(), limits=Limits(back_off_seconds=0.01))
    async with connected(settings, governor=governor) as connection:
        good, bad = await Market(connection).historical_bars(a_contract(), DAY, MONDAY, MONDAY + 3 * DAY)
    assert good.event_time == datetime(2013, 2, 25, 21, 0, tzinfo=UTC)
    assert isinstance(bad, Quarantined)


async def test_an_answer_without_its_end_is_no_answer(gateway: ScriptedGateway, settings: Settings) -> None:
    gateway.answers[61] = lambda peer, _: peer.say(
        61, 3, ACCOUNT, 265598, "AAPL", "STK", "", 0, "", "", "NASDAQ", "USD", "AAPL", "NMS", 100, 440.5
    )
    async with connected(settings, timing=HASTY) as connection:
        with pytest.raises(GatewayTimeoutError, match="positionEnd"):
            await Orders(connection, lambda _: None).positions()


async def test_what_was_asked_when_the_socket_broke_fails_at_once(gateway: ScriptedGateway, settings: Settings) -> None:
    gateway.answers[61] = lambda peer, _: peer.writer.close()
    async with connected(settings) as connection:
        with pytest.raises(GatewayUnavailableError, match="closed the connection"):
            await Orders(connection, lambda _: None).positions()


# connectivity


async def test_while_ibkr_is_away_orders_are_refused_cancels_pass_and_callbacks_go_on(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    reports: list[BrokerReport] = []
    made: list[Orders] = []
    async with connected(
        settings, slot=ClientSlot.EXECUTOR, prepare=lambda c: made.append(Orders(c, reports.append))
    ) as connection:
        orders = made[0]
        gateway.peer.error(-1, 1100, "Connectivity between IBKR and Trader Workstation has been lost.")
        await until(lambda: connection.state.status is GatewayStatus.DEGRADED)
        with pytest.raises(GatewayUnavailableError, match="1100"):
            orders.place(7, an_intent())
        orders.cancel(6)
        gateway.peer.say(*an_execution("0001.01"))
        await until(lambda: any(isinstance(r, BrokerExecution) for r in reports) and gateway.requests(4))

        gateway.peer.error(
            -1, 1102, "Connectivity between IBKR and Trader Workstation has been restored - data maintained."
        )
        await until(lambda: connection.state.usable)
        assert reports[-1] == BrokerConnection(connection.state, resync=True)
        assert gateway.requests(3) == []


@pytest.mark.parametrize("code", [1101, 1102])
async def test_live_data_is_asked_for_again_after_an_interruption(
    gateway: ScriptedGateway, settings: Settings, code: int
) -> None:
    async with subscribed(settings) as (_, delivered, _):
        gateway.peer.error(-1, code, "restored")
        await until(lambda: len(gateway.requests(50)) == 2)
        assert len(gateway.requests(51)) == 1, "the old subscription is ended, not doubled"
        assert delivered == [Interrupted(265598), Interrupted(265598)]


@pytest.mark.parametrize("code", [10189, 10190])
async def test_what_is_not_live_is_said_to_be_so_and_nothing_of_it_is_delivered(
    gateway: ScriptedGateway, settings: Settings, code: int
) -> None:
    """Tick by tick is refused; the market data instead are delayed, frozen, live, and then refused."""
    async with subscribed(settings) as (_, delivered, live):
        live.subscribe(a_contract(), frozenset({Feed.QUOTES}))
        await until(lambda: gateway.requests(97))
        assert live.deliveries() == {(265598, Feed.QUOTES): Delivery.WAITING}
        gateway.peer.error(gateway.requests(97)[0][1], code, "tick by tick is not to be had")
        await until(lambda: gateway.requests(1))
        number = gateway.requests(1)[0][2]
        for kind, delivery in ((3, Delivery.DELAYED), (4, Delivery.DELAYED), (2, Delivery.FROZEN)):
            gateway.peer.say(58, 1, number, kind)
            _say_quote(gateway, number, 440.0 + kind)
            await _comes(live, delivery)
        assert [type(each) for each in delivered] == [Interrupted] * len(delivered), "nothing of it was delivered"

        gateway.peer.say(58, 1, number, 1)
        _say_quote(gateway, number, 450.0)
        await _comes(live, Delivery.SAMPLED)
        assert [each.bid for each in delivered if isinstance(each, Quote)] == [450.0]
        gateway.peer.error(number, 354, "Requested market data is not subscribed.")
        await _comes(live, Delivery.REFUSED)
        assert "354" in live.problems()[265598, Feed.QUOTES]


async def _comes(live: Live, delivery: Delivery) -> None:
    await until(lambda: set(live.deliveries().values()) == {delivery})


def _say_quote(gateway: ScriptedGateway, number: str, bid: float) -> None:
    for kind, price in ((1, bid), (2, bid + 1)):
        gateway.peer.say(1, 6, number, kind, price, 100, 0)


async def test_a_farm_that_blinks_ends_subscriptions_silently_so_they_are_made_again(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    async with subscribed(settings) as (connection, _, _):
        gateway.peer.error(-1, 2103, "Market data farm connection is broken:usfarm")
        await until(lambda: connection.state.broken_farms == {"usfarm"})
        gateway.peer.error(-1, 2104, "Market data farm connection is OK:usfarm")
        await until(lambda: len(gateway.requests(50)) == 2)
        assert connection.state.broken_farms == frozenset()


async def test_a_bust_is_answered_by_a_new_subscription_at_once(gateway: ScriptedGateway, settings: Settings) -> None:
    async with subscribed(settings) as (_, delivered, _):
        gateway.peer.error(
            gateway.requests(50)[0][2], 10225, "Bust event occurred, current subscription is deactivated."
        )
        await until(lambda: len(gateway.requests(50)) == 2)
        number = gateway.requests(50)[1][2]
        gateway.peer.say(50, 3, number, 1362061800, 440, 441, 439, 440.5, 1200, 440.2, 17)
        gateway.peer.say(50, 3, number, 1362061805, 440, 439, 441, 440.5, 1200, 440.2, 17)
        await until(lambda: len(delivered) == 4)
    bar, finding = delivered[2:]
    assert isinstance(bar, Bar)
    assert bar.event_time == datetime(2013, 2, 28, 14, 30, 5, tzinfo=UTC)
    assert isinstance(finding, Quarantined)


async def test_a_reconnect_brings_the_subscriptions_back(gateway: ScriptedGateway, settings: Settings) -> None:
    async with subscribed(settings):
        gateway.peer.writer.close()
        await until(lambda: len(gateway.requests(50)) == 2)
        assert gateway.requests(51) == [], "they ended with their connection"


async def test_many_subscriptions_are_made_and_ended_within_the_message_rate(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    begun = time.monotonic()
    async with subscribed(settings) as (_, delivered, live):
        for number in range(1, 20):
            live.subscribe(a_contract(contract_id=number), frozenset({Feed.BARS}))
        await until(lambda: len(gateway.requests(50)) == 20)
        gateway.peer.error(-1, 1101, "restored - data lost")
        await until(lambda: len(gateway.requests(50)) == 40)
        assert len(gateway.requests(51)) == 20
        assert len(delivered) == 40
    assert time.monotonic() - begun > 60 / MESSAGES_A_SECOND[ClientSlot.MARKET_DATA] - 1


# orders


async def test_an_order_is_on_the_socket_at_once_with_the_id_it_was_given(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    made: list[Orders] = []
    async with connected(settings, slot=ClientSlot.EXECUTOR, prepare=lambda c: made.append(Orders(c, lambda _: None))):
        for number in range(100, 200):
            made[0].place(
                number,
                an_intent(intent_id=f"intent-{number}", order_type=OrderType.LIMIT, limit_price=Decimal("440.10")),
            )
        await until(lambda: len(gateway.requests(3)) == 100, seconds=6)  # paced it would take eight
    first = gateway.requests(3)[0]
    assert len(first) == 115
    assert first[1:3] == ["100", "265598"]
    assert first[16:22] == ["BUY", "100.0", "LMT", "440.1", "", "DAY"]
    assert (first[23], first[26]) == (ACCOUNT, "intent-100")


async def test_a_live_account_is_refused_unless_the_settings_permit_it(
    gateway: ScriptedGateway, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.integration.a_gateway.ACCOUNT", "U1234567")
    async with connected(settings, slot=ClientSlot.EXECUTOR) as connection:
        with pytest.raises(AccountRefusedError, match="SCIZOR_TRADING_MODE is simulated"):
            Orders(connection, lambda _: None).place(1, an_intent())
        assert gateway.requests(3) == []
    permitted = settings.model_copy(update={"trading_mode": "live"})
    async with connected(permitted, slot=ClientSlot.EXECUTOR) as connection:
        Orders(connection, lambda _: None).place(1, an_intent())
        await until(lambda: gateway.requests(3))


async def test_errors_about_orders_are_reports_and_a_correction_is_a_revision(
    gateway: ScriptedGateway, settings: Settings
) -> None:
    reports: list[BrokerReport] = []
    async with connected(settings, slot=ClientSlot.EXECUTOR, prepare=lambda c: Orders(c, reports.append)):
        gateway.peer.error(7, 103, "Duplicate order id")
        gateway.peer.say(*an_execution("0001.01", shares=100))
        gateway.peer.say(*an_execution("0001.02", shares=90))
        gateway.peer.say(59, 1, "0001.02", 1.5, "USD", "1.7976931348623157E308", "", "")
        await until(lambda: len(reports) >= 6)
    error, first, corrected, commission = reports[-5:-1] if isinstance(reports[-1], BrokerConnection) else reports[-4:]
    assert error == BrokerError(7, 103, "Duplicate order id")
    assert isinstance(first, BrokerExecution)
    assert isinstance(corrected, BrokerExecution)
    assert (first.root, first.revision, first.quantity) == ("0001", 1, Decimal(100))
    assert (corrected.root, corrected.revision, corrected.quantity) == ("0001", 2, Decimal(90))
    assert getattr(commission, "realised_pnl", 0) is None
    assert getattr(commission, "amount", 0) == Decimal("1.5")


@pytest.mark.parametrize(
    "broken",
    [(11, -1, 7, "not a number"), (5, 7, 265598), (3, "x", "Filled"), (59, 1, "0001.01")],
    ids=["execDetails", "openOrder", "orderStatus", "commissionReport"],
)
async def test_a_report_that_cannot_be_read_is_never_lost_unseen(
    gateway: ScriptedGateway, settings: Settings, broken: tuple[object, ...]
) -> None:
    reports: list[BrokerReport] = []
    async with connected(settings, slot=ClientSlot.EXECUTOR, prepare=lambda c: Orders(c, reports.append)) as connection:
        await until(lambda: reports)
        before = len(reports)
        gateway.peer.say(*broken)
        gateway.peer.say(*an_execution("0002.01"))
        await until(lambda: len(reports) == before + 2)
    assert reports[before] == BrokerConnection(connection.state, resync=True) or isinstance(
        reports[before], BrokerConnection
    )
    assert isinstance(reports[before + 1], BrokerExecution)


# helpers


def an_execution(execution_id: str, shares: int = 100) -> tuple[object, ...]:
    contract = (265598, "AAPL", "STK", "", 0, "", "", "SMART", "USD", "AAPL", "NMS")
    found = (
        execution_id,
        "20130228 09:31:02 US/Eastern",
        ACCOUNT,
        "NASDAQ",
        "BOT",
        shares,
        440.5,
        99,
        10,
        0,
        shares,
        440.5,
    )
    return (11, -1, 7, *contract, *found, "intent-7", "", "", "", 2)


class subscribed:  # noqa: N801 # reads as a verb: async with subscribed(...)
    """Bars of one contract, subscribed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._delivered: list[MarketEvent] = []

    async def __aenter__(self) -> tuple[Connection, list[MarketEvent], Live]:
        made: list[Live] = []
        self._connected = connected(
            self._settings, slot=ClientSlot.MARKET_DATA, prepare=lambda c: made.append(Live(c, self._delivered.append))
        )
        connection = await self._connected.__aenter__()
        (live,) = made
        self._running = asyncio.create_task(live.run())
        live.subscribe(a_contract(), frozenset({Feed.BARS}))
        await until(lambda: self._delivered)
        return connection, self._delivered, live

    async def __aexit__(self, *error: object) -> None:
        self._running.cancel()
        await self._connected.__aexit__(None, None, None)
