"""What the monitor makes of what it sees: services by their own /ready and /metrics, events, and the disk."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from consumers.monitor import happenings, rounds
from infra.alerts import Severity
from schemas.account import LimitBreached, TradingMode
from schemas.strategy import Deploy, RunningState, StrategyState
from tests.builders import NOON, SEEN, a_trading_state

WHEN: dict[str, Any] = {"event_time": NOON, "ingest_time": SEEN}


@contextmanager
def a_service(reasons: dict[str, str], metrics: str) -> Iterator[int]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = metrics if self.path == "/metrics" else json.dumps({"reasons": reasons})
            self.send_response(503 if reasons and self.path == "/ready" else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def alerts_of(seen: rounds.Seen) -> dict[str, str]:
    return {look.key: look.alert.title for look in rounds.of_service(seen) if look.alert is not None}


def test_a_service_that_is_well_raises_nothing_and_mends_what_it_had() -> None:
    with a_service({}, "scizor_gateway_connected 1.0\n") as port:
        seen = rounds.see("executor", "127.0.0.1", port)

    assert alerts_of(seen) == {}
    assert [look.key for look in rounds.of_service(seen)] == ["down:executor", "unready:executor", "gateway:executor"]


def test_a_service_says_itself_what_keeps_it_and_whether_it_has_its_gateway() -> None:
    reasons = {"gateway": "disconnected: nothing answers"}
    with a_service(reasons, "# HELP x\nscizor_gateway_connected 0.0\n") as port:
        seen = rounds.see("executor", "127.0.0.1", port)

    assert alerts_of(seen) == {
        "unready:executor": "executor cannot do its work",
        "gateway:executor": "executor is disconnected from the gateway",
    }


def test_a_service_that_does_not_answer_is_down_and_no_more_is_said_of_it() -> None:
    seen = rounds.see("risk", "127.0.0.1", 9)

    assert alerts_of(seen) == {"down:risk": "risk does not answer"}


def test_targets_are_those_of_prometheus(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    file.write_text('[{"targets": ["127.0.0.1:9100"], "labels": {"job": "scizor", "service": "risk"}}]')

    assert rounds.targets(file) == {"risk": ("127.0.0.1", 9100)}


def test_a_disk_that_fills_up_is_a_warning_before_it_is_an_emergency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for free in (10_000_000_000, 1_500_000_000, 400_000_000):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(10**12, 0, free))
        look = rounds.of_disk(tmp_path)
        found.append(look.alert.severity if look.alert else None)

    assert found == [None, Severity.WARNING, Severity.CRITICAL]


def test_lag_is_an_alert_beyond_its_bound_only() -> None:
    assert rounds.of_lag("risk", "trading.intents.v1", 100, 100).alert is None
    alert = rounds.of_lag("risk", "trading.intents.v1", 101, 100).alert
    assert alert is not None
    assert "101 records behind" in alert.title


@pytest.mark.parametrize(
    ("by", "mode", "severity", "title", "after"),
    [
        ("kill switch", TradingMode.HALTED, Severity.CRITICAL, "was killed", 0.0),
        ("executor", TradingMode.HALTED, Severity.CRITICAL, "do not agree", happenings.RECONCILE_SECONDS),
        ("ann", TradingMode.HALTED, Severity.CRITICAL, "is HALTED by ann", 0.0),
        ("risk", TradingMode.REDUCING, Severity.WARNING, "is REDUCING by risk", 0.0),
    ],
)
def test_a_halt_says_who_and_how_grave_it_is(
    by: str, mode: TradingMode, severity: Severity, title: str, after: float
) -> None:
    alert, patience = happenings.of_state(a_trading_state(by=by, mode=mode))

    assert alert is not None
    assert (alert.severity, title in alert.title, patience) == (severity, True, after)
    assert happenings.of_state(a_trading_state(by=by, mode=TradingMode.ACTIVE)) == (None, 0.0)


def test_a_daily_loss_is_graver_than_an_order_that_is_too_large() -> None:
    def breach(rule: str) -> LimitBreached:
        return LimitBreached(
            breach_id="b", scope="account:DU1", account_id="DU1", strategy_id="x", rule=rule, detail="d", **WHEN
        )

    assert happenings.of_breach(breach("quantity_max")).severity is Severity.WARNING
    assert happenings.of_breach(breach("daily_loss_max")).severity is Severity.CRITICAL


def test_a_strategy_that_failed_is_told_and_one_that_was_stopped_is_not() -> None:
    deployment = Deploy(
        command_id="c", strategy_id="s", by="ann", strategy="buy_and_hold", symbols=("AAPL",), account_id="DU1",
        quantity=1, **WHEN,
    )  # fmt: skip

    def told(state: RunningState, error: str = "it broke") -> StrategyState:
        return StrategyState(strategy_id="s", state=state, deployment=deployment, error=error, **WHEN)

    failed = happenings.of_strategy(told(RunningState.FAILED))
    assert failed is not None
    assert (failed.key, failed.body) == ("strategy:s", "it broke")
    assert happenings.of_strategy(told(RunningState.STOPPED)) is None
    unsold = happenings.of_strategy(told(RunningState.STOPPING))
    assert unsold is not None
    assert "gave up to sell" in unsold.title
    assert happenings.of_strategy(told(RunningState.STOPPING, error="")) is None


def test_a_dead_letter_of_an_order_is_graver_than_one_of_a_bar() -> None:
    headers = [("scizor_dlq_reason", b"not JSON"), ("scizor_dlq_group", b"risk"), ("scizor_dlq_offset", b"7")]
    alert = happenings.of_letter("trading.fills.v1", headers)

    assert (alert.severity, "not JSON" in alert.body, "/7" in alert.body) == (Severity.CRITICAL, True, True)
    assert happenings.of_letter("market.bars.v1", headers).severity is Severity.WARNING
