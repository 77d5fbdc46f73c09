"""POST /trading/emergency-stop: heard by the kill switch while the database is away, lifted by an admin's arming."""

import asyncio

import pytest

from infra.api_keys import Role
from infra.kill import KillFlag
from infra.settings import Settings
from tests.integration.a_kill_switch import a_kill_switch
from tests.integration.an_api import serving
from tests.integration.test_api_outage import wired

STOP = {"reason": "the desk burns"}


async def test_a_trader_stops_everything_without_the_database_and_only_an_admin_arms(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.api.changes._SPOOL_INTERVAL_SECONDS", 0.2)
    async with wired(stack_settings) as (cable, settings), serving("api_trader", settings) as api:
        flag = KillFlag(settings.home)
        async with a_kill_switch(settings, gateway=False):
            await cable.pull()
            refused = await api.ask("POST", "/trading/emergency-stop", Role.VIEWER, json=STOP)
            stopped = await api.ask("POST", "/trading/emergency-stop", Role.TRADER, json=STOP)
            state = await api.get("/trading/emergency-stop")
            nonsense = await api.ask("POST", "/trading/emergency-stop", Role.TRADER, json={**STOP, "scope": "moon:1"})
            await cable.plug()
            async with asyncio.timeout(30):
                while not [row for row in await api.audit() if row.action == "POST /trading/emergency-stop"]:
                    await asyncio.sleep(0.05)
            arming = {"scope": "account:DU1234567", "reason": "it was a drill"}
            narrower = await api.ask("POST", "/trading/arm", Role.ADMIN, json=arming)
            by_trader = await api.ask("POST", "/trading/arm", Role.TRADER, json={**arming, "scope": "global"})
            assert flag.read().kills
            armed = await api.ask("POST", "/trading/arm", Role.ADMIN, json={**arming, "scope": "global"})
            assert not flag.read().kills
        by_flag = await api.ask("POST", "/trading/emergency-stop", Role.TRADER, json={**STOP, "scope": "symbol:AAPL"})
        held = await api.ask("POST", "/trading/arm", Role.ADMIN, json={"scope": "symbol:AAPL", "reason": "go"})
        by_flag_state = await api.get("/trading/emergency-stop")

    assert (refused.status_code, stopped.status_code, nonsense.status_code) == (403, 200, 422)
    assert nonsense.json()["detail"].endswith("write global, account:ID, strategy:ID or symbol:NAME")
    told = stopped.json()
    assert (told["kill"]["scope"], told["kill"]["by"], told["fenced"]) == ("global", "key test trader", True)
    assert told["acknowledged_ms"] is not None
    assert [kill["reason"] for kill in state["kills"]] == ["the desk burns"]
    assert (narrower.status_code, "arm global first" in narrower.json()["detail"]) == (409, True)
    assert (by_trader.status_code, armed.status_code) == (403, 202)
    assert (by_flag.json()["by_flag_alone"], by_flag.json()["acknowledged_ms"]) == (True, None)
    assert held.status_code == 503, "nobody takes a kill away behind the kill switch's back"
    assert (by_flag_state["killed"], "does not answer" in by_flag_state["gateway"]) == (True, True)
