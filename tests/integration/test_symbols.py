"""The registry's life on real Kafka and PostgreSQL, judged by the simulator's ledger and by the topics."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from infra import topic_admin
from infra.settings import Settings
from infra.symbol_names import AMBIGUOUS_SYMBOL, parse_symbol
from producers.cli.desk import Desk
from producers.cli.universe import UNIVERSE, read_universe
from producers.data_farmer.symbol_runs import follow_up
from schemas.collection import CollectionRun, RunState
from schemas.registry import ChangeSymbol, PopulateSymbols, SymbolEntry
from schemas.validation import ContractChanged, Symbol, SymbolState
from tests.builders import SEEN
from tests.integration.a_gateway import Peer, ScriptedGateway, scripted_gateway
from tests.integration.a_simulator import Simulator, a_simulator
from tests.integration.test_data_farmer import a_validation, everything, farming

ENTRIES = tuple(read_universe(UNIVERSE))
NAMES = tuple(entry.symbol for entry in ENTRIES)


def a_population(run_id: str, *entries: SymbolEntry, force: bool = False) -> PopulateSymbols:
    return PopulateSymbols(
        event_time=SEEN, ingest_time=SEEN, run_id=run_id, entries=entries, force=force, requested_by="test"
    )


def a_change(run_id: str, symbol: str, **changes: Any) -> ChangeSymbol:
    return ChangeSymbol(event_time=SEEN, ingest_time=SEEN, run_id=run_id, symbol=symbol, requested_by="test", **changes)


def asked_for_contracts(gateway: Simulator) -> int:
    """How many requests for contracts reached the gateway: the ledger's word, not ours."""
    return sum(line["request"] == "reqContractDetails" for line in gateway.lines("request"))


async def states(settings: Settings) -> dict[str, list[str]]:
    """Every state that each symbol went through, in order."""
    found: dict[str, list[str]] = {}
    for event in await everything(settings, "reference.symbols.v1"):
        assert isinstance(event, Symbol)
        found.setdefault(str(parse_symbol(f"{event.symbol}:{event.exchange}:{event.currency}")), []).append(event.state)
    return found


async def entry(settings: Settings, name: str) -> Symbol:
    """The last word about a symbol."""
    wanted = parse_symbol(name).symbol_id
    told = [event for event in await everything(settings, "reference.symbols.v1") if isinstance(event, Symbol)]
    return [each for each in told if each.symbol_id == wanted][-1]


async def end_of(settings: Settings, run_id: str) -> CollectionRun:
    async with asyncio.timeout(30):
        while True:
            for event in await everything(settings, "collection.runs.v1"):
                assert isinstance(event, CollectionRun)
                if event.run_id == run_id and event.state in (RunState.DONE, RunState.FAILED):
                    return event
            await asyncio.sleep(0.1)


async def test_the_universe_is_valid_in_seconds_and_is_not_asked_for_again_for_90_days(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_simulator(tmp_path) as gateway:
        async with farming(stack_settings, gateway.server.port) as asker:
            first = await asker.run(a_population("run-1", *ENTRIES))
            once = asked_for_contracts(gateway)
            validated = await asker.run(a_validation("run-2", *NAMES))
            populated = await asker.run(a_population("run-3", *ENTRIES))
        async with farming(stack_settings, gateway.server.port) as asker:
            after_a_restart = await asker.run(a_validation("run-4", *NAMES))
        total = asked_for_contracts(gateway)

    assert (first.state, first.failures, first.symbols_done) == (RunState.DONE, {}, 309)
    assert (first.gateway_requests, once) == (309, 309)
    for again in (validated, populated, after_a_restart):
        assert (again.state, again.gateway_requests, again.requests_saved, again.failures) == (
            RunState.DONE,
            0,
            309,
            {},
        )
    assert total == 309
    lives = await states(stack_settings)
    assert Counter(map(tuple, lives.values())) == {("requested", "validating", "valid"): 309}


async def test_a_forced_population_is_there_at_once_and_validation_follows_by_itself_also_after_a_crash(
    stack_settings: Settings, tmp_path: Path
) -> None:
    unknown = SymbolEntry(symbol="NOSUCH:NASDAQ", kind="stock", name="Nobody")
    request = a_population("run-1", *ENTRIES[:20], unknown, force=True)
    async with farming(stack_settings, port=9) as asker:  # no gateway at all
        forced = await asker.run(request)
        there = await states(stack_settings)
    async with a_simulator(tmp_path) as gateway, farming(stack_settings, gateway.server.port):
        report = await end_of(stack_settings, follow_up(request).run_id)

    assert (forced.state, forced.symbols_done, forced.gateway_requests) == (RunState.DONE, 21, 0)
    assert set(there) == {*NAMES[:20], "NOSUCH:NASDAQ"}
    assert (report.state, report.kind, set(report.failures)) == (RunState.DONE, "validate", {"NOSUCH:NASDAQ"})
    lives = await states(stack_settings)
    assert Counter(life[-1] for life in lives.values()) == {"valid": 20, "rejected": 1}


async def test_an_ambiguous_symbol_keeps_its_candidates_until_a_listing_is_chosen(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, farming(stack_settings, gateway.port) as asker:
        describe(gateway, ("ASX", 4036812), ("NYSE", 4036818))
        unclear = await asker.run(a_validation("run-1", "BHP"))
        kept = await entry(stack_settings, "BHP")
        chosen = await asker.run(a_validation("run-2", "BHP:NYSE"))
        meant = await asker.run(a_validation("run-3", "BHP"))

    assert unclear.failures["BHP"].startswith(AMBIGUOUS_SYMBOL)
    assert [(each.exchange, each.contract_id) for each in kept.candidates] == [("ASX", 4036812), ("NYSE", 4036818)]
    assert (chosen.failures, meant.failures, meant.requests_saved) == ({}, {}, 1)
    assert (await entry(stack_settings, "BHP")).reason == "BHP:NYSE was chosen"
    assert (await states(stack_settings))["BHP"] == ["requested", "validating", "ambiguous", "removed"]


async def test_another_contract_than_before_is_a_finding_until_a_person_takes_it(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, farming(stack_settings, gateway.port) as asker:
        describe(gateway, ("NYSE", 1))
        await asker.run(a_validation("run-1", "BHP"))
        describe(gateway, ("NYSE", 2))
        told = await asker.run(a_validation("run-2", "BHP", force=True))
        kept = await entry(stack_settings, "BHP")
        taken = await asker.run(a_validation("run-3", "BHP", force=True, accept_change=True))

    assert "2 on NYSE in USD instead of 1 on NYSE in USD" in told.failures["BHP"]
    assert (kept.state, kept.contract and kept.contract.contract_id) == (SymbolState.VALID, 1)
    (finding,) = [
        each
        for each in await everything(stack_settings, "reference.validations.v1")
        if isinstance(each, ContractChanged)
    ]
    assert (finding.before.contract_id, finding.now.contract_id) == (1, 2)
    after = await entry(stack_settings, "BHP")
    assert (taken.failures, after.contract and after.contract.contract_id, after.candidates) == ({}, 2, ())


async def test_what_was_valid_and_is_known_no_longer_is_delisted_and_comes_back(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, farming(stack_settings, gateway.port) as asker:
        describe(gateway, ("NYSE", 1))
        await asker.run(a_validation("run-1", "BHP"))
        gateway.answers[9] = lambda peer, fields: peer.error(fields[2], 200, "No security definition has been found")
        gone = await asker.run(a_validation("run-2", "BHP", force=True))
        describe(gateway, ("NYSE", 1))
        back = await asker.run(a_change("run-3", "BHP", state="valid"))

    assert "No security definition" in gone.failures["BHP"]
    assert (back.state, back.failures) == (RunState.DONE, {})
    expected = ["requested", "validating", "valid", "delisted", "validating", "valid"]
    assert (await states(stack_settings))["BHP"] == expected


async def test_a_refusal_that_says_nothing_of_the_symbol_changes_nothing_about_it(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, farming(stack_settings, gateway.port) as asker:
        describe(gateway, ("NYSE", 1))
        await asker.run(a_validation("run-1", "BHP"))
        gateway.answers[9] = lambda peer, fields: peer.error(fields[2], 322, "Too many simultaneous requests")
        refused = await asker.run(a_validation("run-2", "BHP", "RIO", force=True))

    assert set(refused.failures) == {"BHP", "RIO"}
    assert (await entry(stack_settings, "BHP")).state is SymbolState.VALID
    assert (await entry(stack_settings, "RIO")).state is SymbolState.REQUESTED


async def test_a_suspended_symbol_is_left_alone_until_it_is_resumed(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_simulator(tmp_path) as gateway, farming(stack_settings, gateway.server.port) as asker:
        await asker.run(a_validation("run-1", "AAPL"))
        await asker.run(a_change("run-2", "AAPL", state="suspended", note="pending split", tags=("watch",)))
        suspended = await asker.run(a_validation("run-3", "AAPL", force=True))
        asked = asked_for_contracts(gateway)
        await asker.run(a_change("run-4", "AAPL", state="valid", collect=False))
        unknown = await asker.run(a_change("run-5", "MSFT", state="suspended"))

    assert "AAPL is suspended: `scizor symbols resume AAPL`" in suspended.failures["AAPL"]
    assert asked == 1
    after = await entry(stack_settings, "AAPL")
    assert (after.state, after.note, after.tags, after.collect) == (
        SymbolState.VALID,
        "pending split",
        ("watch",),
        False,
    )
    assert (unknown.state, "not in the registry" in unknown.failures["MSFT"]) == (RunState.FAILED, True)


async def test_two_runs_that_want_the_same_symbol_ask_once(stack_settings: Settings, tmp_path: Path) -> None:
    await topic_admin.apply(stack_settings)
    async with Desk(stack_settings) as desk:
        for number in range(5):
            await desk.publish(a_validation(f"run-{number}", "AAPL", "AAPL:NASDAQ"))
    async with a_simulator(tmp_path) as gateway, farming(stack_settings, gateway.server.port) as asker:
        await asker.run(a_validation("run-5", "AAPL"))
        asked = asked_for_contracts(gateway)

    lives = await states(stack_settings)
    assert asked == len(lives) <= 2  # AAPL and AAPL:NASDAQ are two names as long as neither has a contract


def describe(gateway: ScriptedGateway, *listings: tuple[str, int]) -> None:
    """Contracts of BHP, for whatever is asked."""

    def answer(peer: Peer, fields: list[str]) -> None:
        for exchange, contract_id in listings:
            details = ("BHP", "STK", "", 0, "", "SMART", "USD", "BHP", "NMS", "NMS", contract_id, 0.01, "", "", "SMART")
            empty = ("", "", "", "", "US/Eastern", "", "", "", 0, 0, 1, "", "", "26", "", "COMMON", 1, 1, 100)
            peer.say(10, fields[2], *details, 1, 0, "BHP GROUP", exchange, *empty)
        peer.say(52, 1, fields[2])

    gateway.answers[9] = answer
