"""`scizor symbols`, as a person runs it, while the data farmer works."""

import asyncio
import json
from pathlib import Path

from infra.settings import Settings
from tests.integration.a_gateway import simulator
from tests.integration.test_collect_cli import only_line, scizor
from tests.integration.test_data_farmer import farming

HEAD = "symbol,exchange,currency,kind,name\n"
FEW = "AAPL,NASDAQ,USD,stock,Apple\nBHP,ASX,AUD,stock,BHP\nNOSUCH,NASDAQ,USD,stock,Nobody\n"


async def test_a_file_populates_the_registry_with_a_report_and_doing_it_again_asks_nothing(
    stack_settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "few.csv"
    file.write_text(HEAD + FEW, encoding="utf-8")
    async with simulator() as gateway, farming(stack_settings, gateway.port):
        first, out, err = await scizor(stack_settings, "symbols", "populate", "--file", str(file))
        again, told, _ = await scizor(stack_settings, "symbols", "populate", "--file", str(file), "--json")
        _, bulk, _ = await scizor(stack_settings, "symbols", "validate")
        (_, rejected, _), (_, sydney, _), (_, apple, _), (odd, _, refused) = await asyncio.gather(
            scizor(stack_settings, "symbols", "list", "--state", "rejected", "--json"),
            scizor(stack_settings, "symbols", "list", "--exchange", "asx", "--json"),
            scizor(stack_settings, "symbols", "list", "--search", "apple", "--json"),
            scizor(stack_settings, "symbols", "list", "--state", "lost"),
        )

    assert (first, again, odd) == (0, 0, 2)
    assert out.splitlines()[0] == "2 of 3 symbols are valid; 3 gateway requests made, 0 saved"
    assert "NOSUCH:NASDAQ  unknown symbol" in out
    assert "done: 3 of 3 symbols" in err
    assert (json.loads(told)["gateway_requests"], json.loads(told)["requests_saved"]) == (0, 3)
    assert bulk.splitlines()[0] == "2 of 3 symbols are valid; 0 gateway requests made, 3 saved"
    assert [row["symbol"] for row in json.loads(rejected)["symbols"]] == ["NOSUCH"]
    assert [(row["symbol"], row["currency"], row["kind"]) for row in json.loads(sydney)["symbols"]] == [
        ("BHP", "AUD", "stock")
    ]
    assert [row["symbol"] for row in json.loads(apple)["symbols"]] == ["AAPL"]
    assert "no state 'lost': choose one of requested, validating" in only_line(refused)


async def test_a_forced_population_is_immediate_and_says_where_its_report_is(
    stack_settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "few.csv"
    file.write_text(HEAD + FEW, encoding="utf-8")
    async with farming(stack_settings, port=9):  # without a gateway
        code, out, _ = await scizor(stack_settings, "symbols", "populate", "--file", str(file), "--force")

    assert code == 0
    assert out.splitlines()[0] == "3 symbols are in the registry; the service asks the gateway about them now."
    assert "`scizor symbols list --state rejected`" in out.splitlines()[1]


async def test_a_symbol_is_suspended_resumed_shown_and_removed(stack_settings: Settings) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port):
        await scizor(stack_settings, "symbols", "add", "AAPL")
        _, suspended, _ = await scizor(stack_settings, "symbols", "suspend", "AAPL")
        failed, _, why = await scizor(stack_settings, "symbols", "validate", "AAPL", "--force-revalidate")
        _, resumed, _ = await scizor(stack_settings, "symbols", "resume", "AAPL")
        _, shown, _ = await scizor(stack_settings, "symbols", "show", "AAPL:NASDAQ", "--json")
        removed, told, _ = await scizor(stack_settings, "symbols", "remove", "AAPL", "--yes")
        (again, _, gone), (_, listed, _), (_, story, _) = await asyncio.gather(
            scizor(stack_settings, "symbols", "remove", "AAPL", "--yes"),
            scizor(stack_settings, "symbols", "list"),
            scizor(stack_settings, "symbols", "show", "AAPL"),
        )

    assert (suspended.strip(), resumed.strip()) == ("AAPL is suspended", "AAPL is valid")
    assert (failed, "AAPL is suspended" in why.splitlines()[-1]) == (1, True)
    document = json.loads(shown)
    assert (document["state"], document["contract_id"], document["bars"]) == ("valid", 265598, [])
    assert [finding["finding"] for finding in document["findings"]] == ["valid"]
    assert (removed, told.strip()) == (0, "AAPL: removed by cli: it had no bars")
    assert again == 2
    assert "AAPL is not in the registry" in gone.splitlines()[-1]
    assert listed.strip() == "none of 1 symbols is like that"
    assert "removed by cli" in story


async def test_what_makes_no_sense_is_one_line_and_exit_2(stack_settings: Settings, tmp_path: Path) -> None:
    missing, change, misspelt = await asyncio.gather(
        scizor(stack_settings, "symbols", "populate", "--file", str(tmp_path / "none.csv")),
        scizor(stack_settings, "symbols", "validate", "--accept-change"),
        scizor(stack_settings, "symbols", "remove", "A;B", "--yes"),
    )

    assert [code for code, _, _ in (missing, change, misspelt)] == [2, 2, 2]
    assert "cannot read" in only_line(missing[2])
    assert "--accept-change wants the symbols to be named" in only_line(change[2])
    assert "'A;B' is no symbol" in only_line(misspelt[2])
