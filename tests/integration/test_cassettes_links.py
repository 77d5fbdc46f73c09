"""Cassettes about links, restarts and missing ends, against risk, executor and portfolio: the ledger is the judge."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from infra.gateway import absence
from infra.gateway_simulator.launch import market_time
from infra.settings import Settings
from schemas.account import TradingMode
from schemas.orders import OrderStatus, OrderType
from tests.builders import a_cancel
from tests.integration.a_judged_desk import Desk, a_judged_desk, impatient  # noqa: F401 # a fixture
from tests.integration.an_order_path import a_state, until

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.mark.parametrize(
    "name",
    [
        "clock-skewed",
        "closed-after-acknowledgement",
        "closed-before-acknowledgement",
        "closed-while-holding",
        "cut-mid-message",
        "gateway-freezes",
        "half-open",
        "nightly-restart",
        "outage-data-kept",
        "outage-data-lost",
        "outage-repeats",
        "outage-unannounced",
        "port-reset",
    ],
)
async def test_a_link_that_fails_loses_no_fill_and_doubles_no_order(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, name) as desk:
        await desk.in_mode(TradingMode.ACTIVE)
        await desk.buy("first")
        await desk.buy("second", 11)
        await desk.played.fired()
        await desk.in_status("first", OrderStatus.FILLED)
        await desk.agrees()
        assert desk.ledger().filled("first") == 10
        await desk.goes_on()


@pytest.mark.parametrize(
    "name",
    [
        "account-summary-never-ends",
        "executions-never-end",
        "one-byte-segments",
        "open-orders-never-end",
        "positions-never-end",
    ],
)
async def test_nobody_trades_on_half_a_picture_and_everybody_on_a_whole_one(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, name) as desk:
        await desk.played.fired()
        await desk.trades("first")
        await desk.agrees()
        lines = desk.ledger().lines
        ended = [number for number, line in enumerate(lines) if line["kind"] == "fault"]
        first = next(number for number, line in enumerate(lines) if line["kind"] == "order_received")
        asked = [line["request"] for line in lines[ended[0] : first] if line["kind"] == "request"]
        assert name == "one-byte-segments" or "reqExecutions" in asked, "everything was asked for again"


async def test_an_account_download_without_an_end_holds_up_nobody(stack_settings: Settings, tmp_path: Path) -> None:
    """Nobody of ours asks for one: balances come by the summary, positions by their own question."""
    async with a_judged_desk(stack_settings, tmp_path, "account-never-ends") as desk:
        await desk.trades("first")
        await desk.agrees()
        assert desk.played.missing() == {"account-never-ends: no end"}


@pytest.mark.parametrize("name", ["outage-orders-held", "outage-orders-lost"])
async def test_a_cancel_that_was_said_into_a_broken_link_is_done_when_it_is_back(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, name) as desk:
        await desk.in_mode(TradingMode.ACTIVE)
        await desk.buy("first", order_type=OrderType.LIMIT, limit_price=Decimal(430))
        await desk.played.fired()
        await desk.path.tell(a_cancel(order_id="first"))
        await desk.buy("second", 11)
        await desk.in_status("first", OrderStatus.CANCELED)
        await desk.agrees()
        await desk.goes_on()


async def test_an_outage_without_an_end_stops_trading_until_the_link_is_back(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one that begins within a reset of IB's may last as long as that one does: the test runs at any hour of the day
    monkeypatch.setattr(absence, "expected_back", lambda began, patience: began + patience)
    impatient_for_it = stack_settings.model_copy(update={"gateway_away_minutes": 0.02})
    async with a_judged_desk(impatient_for_it, tmp_path, "reset-without-end") as desk:
        await desk.in_mode(TradingMode.ACTIVE)
        await desk.buy("first")
        await desk.played.fired()
        await desk.in_mode(TradingMode.HALTED)
        await until(lambda: desk.path.scalar("SELECT reason LIKE '%longer than a reset%' FROM trading_state"))
        await desk.buy("blind")
        await desk.path.settled("risk")
        await desk.path.settled("executor")
        assert "blind" not in desk.ledger().orders_of_intents()
        desk.do(restore=1102)
        await desk.agrees()
        await desk.trades("next")
        assert "blind" not in desk.ledger().orders_of_intents()


async def test_clocks_that_differ_stop_trading_until_they_agree(stack_settings: Settings, tmp_path: Path) -> None:
    named = {"ib_host": "127.0.0.1", "trading_mode": "paper", "allow_open_kafka": True}
    compared = stack_settings.model_copy(update=named)
    now = datetime.now(UTC).isoformat()  # a gateway that lives at our date
    async with a_judged_desk(compared, tmp_path, "clock-skewed", start=market_time(now)) as desk:
        await until(lambda: desk.path.scalar("SELECT reason LIKE '%ahead of ours%' FROM trading_state"), seconds=30)
        await desk.in_mode(TradingMode.HALTED)
        await desk.buy("blind")
        await desk.is_over("blind")
        desk.do(clock_skew={"seconds": 0})
        await desk.in_mode(TradingMode.ACTIVE)
        assert not list(desk.ledger().of("order_received"))


async def test_a_night_of_reset_and_restart_is_over_before_the_next_session(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, "nightly-reset") as desk:
        gateway = desk.simulator.server.gateway
        gateway.set_speed(0)
        await desk.in_mode(TradingMode.ACTIVE)
        await desk.buy("first")
        await desk.in_status("first", OrderStatus.FILLED)
        await desk.agrees()
        await gateway.advance(13.5 * 3600)
        await desk.played.fired()
        await desk.agrees()
        await gateway.advance(9.5 * 3600)
        await desk.goes_on()


@pytest.mark.parametrize("name", ["accepts-without-answer", "client-id-in-use"])
async def test_an_executor_waits_for_its_own_client_id_and_takes_no_other(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, name) as desk:
        if name == "client-id-in-use":
            desk.do(restart={"seconds": 0})
        await desk.played.fired()
        await desk.trades("first")
        await desk.agrees()
        assert {line["client_id"] for line in desk.ledger().of("connected")} == {desk.path.settings.ib_client_id}


async def test_trading_halts_when_the_sequence_of_ids_falls_back_until_a_person_has_accepted_it(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_judged_desk(stack_settings, tmp_path, "next-id-falls-back") as desk:
        await desk.in_mode(TradingMode.ACTIVE)
        await desk.buy("first")
        await desk.in_status("first", OrderStatus.FILLED)
        await desk.played.fired()
        await until(lambda: desk.path.scalar("SELECT reason LIKE '%fell back%' FROM trading_state"), seconds=30)
        await desk.buy("blind")
        await desk.is_over("blind")
        await desk.path.tell(a_state(TradingMode.ACTIVE))  # armed without a look: it falls back to HALTED
        await until(lambda: _halts_again(desk), seconds=30)
        assert set(desk.ledger().orders_of_intents()) == {"first"}

        await desk.path.tell(a_state(TradingMode.ACTIVE, accept_order_ids=True))
        await desk.trades("next")
        await desk.agrees()
        assert "blind" not in desk.ledger().orders_of_intents()
        received = [(line["client_id"], line["order_id"]) for line in desk.ledger().of("order_received")]
        assert len(received) == len(set(received)), "no id is used twice"
        assert received == sorted(received), "ids never go backwards"


async def _halts_again(desk: Desk) -> bool:
    told = [(state.mode, state.by) for state in await desk.path.events("trading.state.v1")]
    armed = told.index((TradingMode.ACTIVE, "ann"))
    return (TradingMode.HALTED, "executor") in told[armed:]
