"""`scizor live` against a real strategist and risk: what a person says happens, and what makes no sense is refused."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from consumers.strategist.strategist import Strategist
from infra import topic_admin
from infra.embedded.programs import environment_of
from infra.service import Service
from infra.settings import REPOSITORY, Settings
from infra.symbol_names import parse_symbol
from schemas.account import AccountState
from schemas.validation import Symbol, SymbolState
from tests.builders import SEEN, a_contract
from tests.integration.an_order_path import ACCOUNT, an_order_path, running


def a_symbol(name: str) -> Symbol:
    return Symbol(
        event_time=SEEN,
        ingest_time=SEEN,
        symbol_id=parse_symbol(name).symbol_id,
        symbol=name,
        state=SymbolState.VALID,
        contract=a_contract(symbol=name),
    )


def an_account() -> AccountState:
    return AccountState(
        account_id=ACCOUNT,
        currency="USD",
        net_liquidation="1000000",
        cash="1000000",
        buying_power="1000000",
        event_time=SEEN,
        ingest_time=SEEN,
    )


@dataclass
class Person:
    """Somebody at a command line."""

    settings: Settings

    async def says(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "producers.cli.main", "live", *arguments),
            env={**environment_of(self.settings), "PATH": "/usr/bin:/bin"},
            cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def gets(self, *arguments: str) -> Any:
        code, out, err = await self.says(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)


@contextlib.asynccontextmanager
async def a_person(settings: Settings, *services: Service) -> AsyncIterator[Person]:
    """A person at a system with one account and one symbol."""
    await topic_admin.apply(settings)
    async with an_order_path(settings) as path:
        await path.tell(a_symbol("AAPL"), an_account())
        async with running(*services):
            yield Person(settings)


async def test_a_strategy_is_deployed_paused_resumed_and_stopped(stack_settings: Settings) -> None:
    strategist = Service("strategist", stack_settings)
    Strategist(strategist).wire()
    async with a_person(stack_settings, strategist) as person:
        started = await person.gets("start", "buy_and_hold", "--symbols", "AAPL", "--id", "mine", "--quantity", "10")
        assert [(each["strategy_id"], each["state"], each["account_id"]) for each in started["strategies"]] == [
            ("mine", "running", ACCOUNT)
        ]
        assert "has no limits, so every order is denied" in started["strategies"][0]["held_up_by"][0]
        assert (await person.gets("pause", "mine"))["strategies"][0]["state"] == "paused"
        assert (await person.gets("resume", "mine"))["strategies"][0]["state"] == "running"
        code, shown, _ = await person.says("status")
        assert code == 0
        assert "mine  running  buy_and_hold  AAPL" in shown
        assert "no limits are set" in shown
        assert (await person.gets("stop", "mine"))["strategies"][0]["state"] == "stopped"
        await person.gets("start", "buy_and_hold", "--symbols", "AAPL", "--id", "other")
        code, _, why = await person.says("pause", "mine", "other")
        again = "it has stopped: deploy it again: `scizor live start NAME --symbols ... --id mine`"
        assert (code, why.strip()) == (4, f"scizor: mine refuses: {again}")
        states = {each["strategy_id"]: each["state"] for each in (await person.gets("status"))["strategies"]}
        assert states == {"mine": "stopped", "other": "paused"}, "one that refuses keeps nobody else from being told"


async def test_limits_are_set_changed_and_counted(stack_settings: Settings) -> None:
    async with a_person(stack_settings) as person:
        assert (await person.says("limits"))[0] == 2
        first = await person.gets("limits", "notional_max=5000")
        assert (first["version"], first["rejects_in_a_row_max"]) == (1, 3), "beside what a new account begins with"
        changed = await person.gets("limits", "quantity_max=7", "--account", ACCOUNT)
        assert (changed["version"], changed["notional_max"], changed["quantity_max"]) == (2, "5000", "7")
        assert await person.gets("limits") == changed


async def test_trading_is_halted_and_armed(stack_settings: Settings) -> None:
    async with a_person(stack_settings) as person:
        assert (await person.gets("halt", "--reason", "lunch"))["mode"] == "HALTED"
        assert "`scizor live arm --scope global` lifts that" in (await person.gets("arm"))["still_stopped"][0]
        assert (await person.gets("arm", "--scope", "global"))["mode"] == "ACTIVE"
        assert (await person.gets("arm", "--reducing"))["scope"] == f"account:{ACCOUNT}"
        found = await person.gets("status")
        assert [(each["scope"], each["mode"]) for each in found["trading"]] == [
            (f"account:{ACCOUNT}", "REDUCING"),
            ("global", "ACTIVE"),
        ]


NONSENSE: list[tuple[list[str], str]] = [
    (["start", "buy_and_hold"], "nothing is deployed as 'buy_and_hold': name --symbols"),
    (["start", "buy_and_holt", "--symbols", "AAPL"], "did you mean buy_and_hold?"),
    (["start", "moving_average_crossover", "--symbols", "AAPL", "--param", "fast=x"], "parameter fast='x'"),
    (["start", "buy_and_hold", "--symbols", "AAPL", "--bar-size", "7m"], "no bars of size '7m'"),
    (["start", "buy_and_hold", "--symbols", "AAPL,NOPE"], "not validated: NOPE; `scizor symbols add NOPE` asks"),
    (["allocate", "mine=0.6"], "how much money is to be shared out? --capital AMOUNT"),
    (["pause", "nobody"], "no strategy 'nobody' is deployed"),
    (["limits", "quantity=7"], "no limit 'quantity': there are"),
    (["limits", "quantity_max=many"], "quantity_max"),
    (["limits", "quantity_max=1e30"], "quantity_max: at most 100000"),
    (["start", "buy_and_hold", "--symbols", "AAPL", "--account", "DU999"], "no account 'DU999'? --account one of"),
    (["halt", "--scope", "everything"], "no scope 'everything'"),
    (["arm", "--scope", "global", "--accept-positions"], "positions and order ids belong to an account"),
    (["arm", "--accept-order-ids"], "needs a --reason"),
]


async def test_what_makes_no_sense_is_one_line_and_exit_2(stack_settings: Settings) -> None:
    async with a_person(stack_settings) as person:
        for arguments, told in NONSENSE:
            code, out, err = await person.says(*arguments)
            assert (code, out) == (2, ""), arguments
            assert told in err
            assert len(err.strip().splitlines()) == 1
