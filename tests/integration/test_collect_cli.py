"""`scizor collect` and `scizor symbols`, as a person runs them, while the data farmer works."""

import asyncio
import json
import sys
from typing import Any

from consumers.persister import build as build_persister
from infra.embedded.programs import environment_of
from infra.settings import REPOSITORY, Settings
from tests.integration.a_gateway import simulator
from tests.integration.test_data_farmer import farming
from tests.integration.test_service import running


async def scizor(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "producers.cli.main", *arguments),
        cwd=REPOSITORY,
        env={**environment_of(settings), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


async def test_symbols_are_added_listed_and_verified_once(stack_settings: Settings) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port):
        code, out, _ = await scizor(stack_settings, "symbols", "list")
        nothing = "no symbols yet: add one with `scizor symbols add AAPL`, or many with `scizor symbols populate`"
        assert (code, out.strip()) == (0, nothing)
        assert (await scizor(stack_settings, "symbols", "add", "aapl", "IBM"))[0] == 0
        code, out, _ = await scizor(stack_settings, "symbols", "list", "--json")
        rows: list[dict[str, Any]] = json.loads(out)["symbols"]
        assert [(row["symbol"], row["state"], row["contract_id"], row["daily_source"]) for row in rows] == [
            ("AAPL", "valid", 265598, "real"),
            ("IBM", "valid", 8314, "real"),
        ]
        code, out, _ = await scizor(stack_settings, "symbols", "validate", "--json")
        assert (code, json.loads(out)["requests_saved"]) == (0, 2)
        code, out, _ = await scizor(stack_settings, "symbols", "validate", "--force-revalidate", "--json")
        assert json.loads(out) == {"symbols": 2, "failures": {}, "gateway_requests": 2, "requests_saved": 0}


async def test_history_is_collected_with_progress_on_stderr_and_one_document_on_stdout(
    stack_settings: Settings,
) -> None:
    span = ("--start-date", "2013-02-01", "--end-date", "2013-02-15")
    async with simulator() as gateway, farming(stack_settings, gateway.port):
        command = ("collect", "history", "AAPL", "MSFT", *span)
        code, out, err = await scizor(stack_settings, *command, "--json")
        again = await scizor(stack_settings, *command)
    told = json.loads(out)
    assert (code, told["state"], told["bars_received"], told["bars_published"]) == (0, "done", 22, 22)
    assert (told["sessions"], told["sessions_complete"], told["gaps"]) == (22, 22, 0)
    assert [(each["symbol"], each["outcome"]) for each in told["outcomes"]] == [
        ("AAPL", "collected"),
        ("MSFT", "collected"),
    ]
    assert "2 of 2 symbols" in err
    assert again[0] == 0
    assert again[1].splitlines() == [
        "0 bars received, 0 new or changed, 0 set aside; 22 of 22 sessions complete",
        "  AAPL: up_to_date, 0 bars, 11 of 11 sessions",
        "  MSFT: up_to_date, 0 bars, 11 of 11 sessions",
    ]


async def test_one_bad_symbol_does_not_stop_the_others(stack_settings: Settings) -> None:
    span = ("--start-date", "2013-02-01", "--end-date", "2013-02-15")
    async with simulator() as gateway, farming(stack_settings, gateway.port):
        code, out, err = await scizor(stack_settings, "collect", "history", "NOSUCH", "AAPL", *span)
    assert code == 2
    assert "  AAPL: collected, 11 bars, 11 of 11 sessions" in out.splitlines()
    assert err.splitlines()[-1].startswith("scizor: NOSUCH: unknown symbol")


async def test_daily_collection_takes_every_valid_symbol_and_shows_a_table(stack_settings: Settings) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port):
        await scizor(stack_settings, "symbols", "add", "AAPL", "IBM")
        code, out, err = await scizor(stack_settings, "collect", "daily", "--monitor", "--json")
        nothing = await scizor(stack_settings, "collect", "daily", "--exchange", "ASX", "--json")
    told = json.loads(out)
    assert (code, told["kind"], told["symbols"], told["chunks"]) == (0, "daily", 2, 2)
    assert {each["symbol"] for each in told["outcomes"]} == {"AAPL", "IBM"}
    assert told["sessions"] == told["sessions_complete"] == 2 * 21
    assert "collected" in err
    assert (nothing[0], json.loads(nothing[1])["symbols"]) == (0, 0)


async def test_the_whole_path_is_checked_and_an_unhealthy_one_ends_with_3(stack_settings: Settings) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port):
        async with running(build_persister(stack_settings)):
            code, out, _ = await scizor(stack_settings, "collect", "test")
            lines = out.splitlines()
            assert (code, lines[-1]) == (0, "the path is healthy")
            assert [line.split()[:3] for line in lines[1:4]] == [
                ["ok", "AAPL", "gateway"],
                ["ok", "AAPL", "topic"],
                ["ok", "AAPL", "quality"],
            ]
        code, out, _ = await scizor(stack_settings, "collect", "test", "NOSUCH", "--json")
        assert (code, json.loads(out)["healthy"]) == (3, False)


async def test_a_wrong_symbol_date_or_size_is_one_clear_line_and_exit_2(stack_settings: Settings) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port):
        code, _, err = await scizor(stack_settings, "symbols", "add", "NOSUCH")
        assert code == 2
        assert err.splitlines()[-1].startswith("scizor: NOSUCH: unknown symbol")
    code, out, err = await scizor(stack_settings, "collect", "history", "AAPL", "--start-date", "2013-02-30")
    assert (code, out, only_line(err)) == (
        2,
        "",
        "scizor: '2013-02-30' is no date: write YYYY-MM-DD, for instance 2013-02-28",
    )


async def test_a_missing_gateway_is_exit_3_with_the_reason(stack_settings: Settings) -> None:
    async with farming(stack_settings, port=9, patience=1.0):
        code, _, err = await scizor(stack_settings, "collect", "history", "AAPL")
    assert code == 3
    assert "nothing answers at 127.0.0.1:9" in err.splitlines()[-1]
