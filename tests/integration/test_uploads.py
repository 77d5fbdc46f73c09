"""Strategies are uploaded, read inside the sandbox, kept by version, and run there on request."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest

from consumers.api.reading_uploads import SOURCE_BYTES_MAX
from infra.api_keys import Role
from infra.sandbox.errors import SandboxUnavailableError
from infra.settings import REPOSITORY, Settings
from schemas.backtest import BacktestFinished
from tests.integration.a_sandbox import on_every_bar, shipped
from tests.integration.an_api import Api, serving
from tests.integration.test_backtester import RESULTS, a_market, backtesting, events_of
from tests.integration.test_optimisation import result_of, searching

MINE = shipped("moving_average_crossover")
ENDLESS = """\
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal


class Endless(BaseStrategy):
    class Config(StrategyConfig):
        number: int = 1

    def on_bar(self, bar):
        while self.config.number == 2:
            pass
        return StrategySignal.target(bar.contract_id, bar.start.day % 3 / 2)
"""
OTHER = MINE + "\n# with another thought\n"


async def upload(api: Api, name: str = "mine", code: str = MINE, role: Role = Role.TRADER) -> httpx.Response:
    return await api.ask("POST", "/strategies", role, json={"name": name, "code": code})


def typed_by_a_person(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        "PATH": os.environ["PATH"],
        "SCIZOR_HOME": str(settings.home),
        "SCIZOR_KAFKA": settings.kafka,
        "SCIZOR_DATABASE_URL": settings.database_url.get_secret_value(),
        "SCIZOR_TOPIC_PREFIX": settings.topic_prefix,
    }
    command = [sys.executable, "-m", "producers.cli.main", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


async def test_an_upload_is_described_versioned_deleted_and_audited(stack_settings: Settings) -> None:
    async with serving("api_backtester", stack_settings) as api:
        first = await upload(api)
        again = await upload(api)
        changed = await upload(api, code=OTHER)
        second = await api.ask("PUT", "/strategies/mine", Role.TRADER, json={"code": OTHER})
        listed = {each["name"]: each for each in await api.get("/strategies")}
        versions = await api.get("/strategies/mine/versions")
        text = await api.get("/strategies/mine/versions/1", Role.TRADER)
        missing = await api.ask("GET", "/strategies/mine/versions/9", Role.TRADER)
        gone = await api.ask("DELETE", "/strategies/mine", Role.TRADER)
        after = await api.ask("GET", "/strategies/mine")
        audit = await api.audit()
        health = await api.client.get("/health")

    one = first.json()
    assert (first.status_code, first.headers["Location"]) == (201, "/strategies/mine")
    assert (one["origin"], one["version"], one["owner"], one["why_not_run"]) == ("uploaded", 1, "test trader", None)
    assert one["parameters"] == {"fast": 10, "slow": 30, "short": False}
    assert one["parameter_schema"]["properties"]["fast"]["maximum"] == 5000
    assert one["description"].startswith("Long when the fast average")
    assert (again.status_code, again.json()["version"]) == (201, 1), "the same text once more is no new version"
    assert (changed.status_code, "PUT makes a new version" in changed.json()["detail"]) == (409, True)
    assert (second.json()["version"], second.json()["parameters"]) == (2, one["parameters"])
    assert (listed["mine"]["version"], listed["buy_and_hold"]["origin"]) == (2, "shipped")
    assert [each["version"] for each in versions] == [2, 1]
    assert text["code"] == MINE
    assert (missing.status_code, gone.status_code, after.status_code) == (404, 204, 404)
    assert [(row.action.split()[0], row.outcome) for row in audit] == [
        ("POST", "done"),
        ("PUT", "done"),
        ("DELETE", "done"),
    ]
    assert "def on_bar" not in str([row.detail for row in audit]), "the audit log names a text by its hash"
    assert health.json()["uploaded_strategies"] == "run"


async def test_what_is_no_strategy_is_refused_with_the_reason(stack_settings: Settings) -> None:
    too_large = "#" * (SOURCE_BYTES_MAX + 1)
    async with serving("api_backtester", stack_settings) as api:

        async def refusal(code: str, name: str = "mine") -> tuple[int, str]:
            answer = await upload(api, name, code)
            return answer.status_code, answer.json()["detail"]

        refused = {
            "large": await refusal(too_large),
            "huge": await refusal("#" * 1_100_000),
            "archive": await refusal("PK\x03\x04"),
            "empty": await refusal(" \n"),
            "syntax": await refusal("class Mine(:\n"),
            "class": await refusal("x = 1\n"),
            "import": await refusal("\nimport os\n"),
            "raises": await refusal("x = 1\n1 / 0\n"),
            "bomb": await refusal("x = " + "-" * 200_000 + "1"),
            "loop": await refusal("while True: pass\n"),
            "name": await refusal(MINE, "../mine"),
            "shipped": await refusal(MINE, "buy_and_hold"),
        }
        binary = await api.ask(
            "POST", "/strategies", Role.TRADER, content=b'{"name": "mine", "code": "\xff"}',
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        listed = await api.get("/strategies")
        audit = await api.audit()

    assert {row.outcome for row in audit} == {"refused"}
    assert "mine: code: ZeroDivisionError" in str([row.detail["reason"] for row in audit])
    assert refused["large"] == (413, "code: 262,145 bytes are too many: one .py file of at most 262,144")
    assert refused["huge"][0] == 413
    assert refused["archive"] == (422, "code: not the text of a .py file: archives and binary files are not taken")
    assert refused["empty"][0] == 422
    assert refused["syntax"] == (422, "code: mine.py, line 1: invalid syntax")
    assert (refused["class"][0], "derives from engine.strategy.BaseStrategy" in refused["class"][1]) == (422, True)
    assert refused["import"][1].startswith("code: mine.py, line 2: a strategy cannot import os")
    assert refused["raises"] == (422, "code: ZeroDivisionError: division by zero (mine.py, line 2)")
    assert (refused["bomb"][0], refused["loop"][0]) == (422, 422)
    assert refused["loop"][1] == "code: reading it computed for more than 1 s (mine.py, line 1)"
    assert (refused["name"][0], refused["shipped"][0], binary.status_code) == (422, 409, 422)
    assert {each["origin"] for each in listed} == {"shipped"}


async def test_a_strategy_belongs_to_whoever_uploaded_it(stack_settings: Settings) -> None:
    async with serving("api_backtester", stack_settings) as api:
        await upload(api, role=Role.ADMIN)
        answers = [
            await upload(api, code=OTHER),
            await api.ask("PUT", "/strategies/mine", Role.TRADER, json={"code": OTHER}),
            await api.ask("GET", "/strategies/mine/versions/1", Role.TRADER),
            await api.ask("DELETE", "/strategies/mine", Role.TRADER),
            await api.ask("PUT", "/strategies/mine", Role.VIEWER, json={"code": OTHER}),
        ]
        own = await api.get("/strategies/mine")

    assert [each.status_code for each in answers] == [409, 403, 403, 403, 403]
    assert (own["version"], own["owner"]) == (1, "test admin")


async def test_without_a_sandbox_uploads_are_kept_and_do_not_run(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise SandboxUnavailableError("this host has no user namespaces")

    monkeypatch.setattr("infra.sandbox.canary.proven_sandbox", refuse)
    async with serving("api_backtester", stack_settings) as api:
        kept = await upload(api, code="while True: pass\n")
        asked = await api.ask("POST", "/backtests", Role.TRADER, json={"strategy": "mine", "symbols": ["AAPL"]})
        health = await api.client.get("/health")

    assert (kept.status_code, kept.json()["why_not_run"]) == (201, "this host has no user namespaces")
    assert asked.status_code == 409
    assert "mine is stored, and does not run here: this host has no user namespaces" in asked.json()["detail"]
    assert health.json()["uploaded_strategies"] == "stored, not run: this host has no user namespaces"


async def test_a_backtest_of_an_upload_runs_the_text_that_it_named(stack_settings: Settings) -> None:
    await a_market(stack_settings, days=300)
    question = {"strategy": "mine", "symbols": ["AAPL"], "parameters": {"fast": 5, "slow": 20}, "basis": "raw"}
    async with serving("api_backtester", stack_settings) as api, backtesting(stack_settings) as worker:
        await upload(api)
        await upload(api, "hostile", on_every_bar("open('/etc/passwd')"))
        wrong = [
            await api.ask("POST", "/backtests", Role.TRADER, json=question | each)
            for each in (
                {"parameters": {"fats": 1}},
                {"parameters": {"fast": 0}},
                {"parameters": {"fast": "many"}},
                {"strategy": "mime"},
            )
        ]
        asked = await api.ask("POST", "/backtests", Role.TRADER, json=question)
        await api.ask("PUT", "/strategies/mine", Role.TRADER, json={"code": OTHER})
        hostile = await api.ask("POST", "/backtests", Role.TRADER, json={"strategy": "hostile", "symbols": ["AAPL"]})
        outside = await api.ask(
            "POST", "/backtests", Role.TRADER, json=question | {"strategy": "moving_average_crossover"}
        )
        found: dict[str, BacktestFinished] = {}
        while len(found) < 3:
            for event in await events_of(stack_settings, RESULTS):
                assert isinstance(event, BacktestFinished)
                found[event.backtest_id] = event
        run = ("backtest", "run", "mine", "--symbols", "AAPL", "--param", "fast=5", "--param", "slow=20", "--json")
        typed = await asyncio.to_thread(typed_by_a_person, stack_settings, *run)
        assert not worker.why_not_ready()

    assert {each.status_code for each in wrong} == {422}
    told = [each.json()["detail"] for each in wrong]
    assert told[0] == "unknown parameter fats (did you mean fast?): it takes fast, slow, short"
    assert told[1] == "parameter fast=0: input should be greater than or equal to 1"
    assert told[2].startswith("parameter fast='many': input should be a valid integer")
    assert told[3].startswith("no strategy mime (did you mean mine?): there are bollinger_reversion, ")
    assert told[3].endswith("; uploaded: hostile, mine")
    inside, attack, plain = (found[each.json()["id"]] for each in (asked, hostile, outside))
    assert inside.succeeded, inside.error
    assert inside.result_hash == plain.result_hash
    assert inside.code_hash != plain.code_hash
    assert len(inside.request.code_sha256) == 64
    assert typed.returncode == 0, typed.stderr
    assert json.loads(typed.stdout)["result_hash"] == plain.result_hash
    assert (attack.succeeded, "FileNotFoundError" in attack.error) == (False, True)


async def test_an_upload_is_searched_as_a_strategy_that_ships(stack_settings: Settings) -> None:
    await a_market(stack_settings, days=300)
    backtest = {"strategy": "mine", "symbols": ["AAPL"]}
    question = {"backtest": backtest, "axes": ["fast=2:6:2", "slow=10:20:10"], "constraints": ["fast < slow"]}
    shipped_one = question | {"backtest": backtest | {"strategy": "moving_average_crossover"}}
    endless = {"backtest": backtest | {"strategy": "endless"}, "axes": ["number=1,2"]}
    async with serving("api_backtester", stack_settings) as api, searching(stack_settings):
        await upload(api)
        await upload(api, "endless", ENDLESS)
        wrong = [
            await api.ask("POST", "/optimizations", Role.TRADER, json=question | each)
            for each in ({"axes": ["fats=2:6:2"]}, {"axes": ["fast=-3:0:1"]}, {"backtest": backtest | {"basis": "raw"}})
        ]
        asked = [
            await api.ask("POST", "/optimizations", Role.TRADER, json=each) for each in (question, shipped_one, endless)
        ]
        inside, plain, stopped = [await result_of(stack_settings, each.json()["id"]) for each in asked]
        arguments = ("optimize", "mine", "--symbols", "AAPL", "--param", "fast=2:6:2", "--param", "slow=10:20:10")
        typed = await asyncio.to_thread(
            typed_by_a_person, stack_settings, *arguments, "--constraint", "fast < slow", "--json"
        )
        here = await asyncio.to_thread(typed_by_a_person, stack_settings, *arguments, "--workers", "1")

    assert [each.status_code for each in wrong] == [422, 422, 422]
    assert "mine has no parameter fats (did you mean fast?)" in wrong[0].json()["detail"]
    assert "fast=-3: input should be greater than or equal to 1" in wrong[1].json()["detail"]
    assert inside.succeeded, inside.error
    assert len(inside.request.backtest.code_sha256) == 64
    assert (inside.trials_hash, inside.code_hash != plain.code_hash) == (plain.trials_hash, True)
    assert typed.returncode == 0, typed.stderr
    assert json.loads(typed.stdout)["trials_hash"] == plain.trials_hash
    assert (here.returncode, "mine was uploaded: the backtester searches it" in here.stderr) == (2, True)
    assert stopped.succeeded, stopped.error
    assert [each["state"] for each in stopped.result["trials"]] == ["done", "failed"]
    assert "on_bar computed for more than 1 s" in stopped.result["trials"][1]["error"]
