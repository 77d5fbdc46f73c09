"""The files of a new strategy: code, test and config, which pass at once."""

import keyword
import sys
from pathlib import Path

from infra.errors import UsageError

_CODE = '''"""{title}."""

from engine.facts import Bar
from engine.indicators import crossing, ema
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal, searched


class {kind}(BaseStrategy):
    """Long when the close rises above its average, flat when it falls below: put your own idea here."""

    class Config(StrategyConfig):
        """The window in bars; `strength` is the share of a full position."""

        window: int = searched(50, "20:200:10", ge=2, le=5000)
        strength: float = searched(1.0, "0.25:1:0.25", gt=0, le=1)

    config: Config

    def indicators(self) -> None:
        self.crossed = self.declare(crossing, "close", (ema, "close", self.config.window))

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        if self.crossed.now > 0:
            return StrategySignal.long(bar.contract_id, self.config.strength, "rose above its average")
        if self.crossed.now < 0:
            return StrategySignal.flat(bar.contract_id, "fell below its average")
        return None
'''

_TEST = '''"""What {name} does in a market made for it, and that it knows no future."""

from pathlib import Path

from engine.backtest import run
from engine.scrutiny import examine_source, market_of
from {name} import {kind}

SOURCE = Path(__file__).with_name("{name}.py").read_text(encoding="utf-8")


def test_it_passes_its_examination() -> None:
    verdict = examine_source(SOURCE, "{name}", {{}})

    assert verdict.passed, verdict.findings
    assert verdict.decisions > 0


def test_it_buys_above_its_average_and_leaves_below() -> None:
    closes = [10.0] * 10 + [9.0, 11.0, 12.0, 13.0, 8.0, 8.0]

    result = run(market_of(closes), {kind}, {kind}.Config(window=5))

    assert [(each.quantity, each.price) for each in result.executions] == [(100.0, 11.0), (-100.0, 8.0)]
'''

_CONFIG = """# A run of {name}: scizor backtest run {name}.py --config {name}.yaml --source PRICES.csv
# Each name is an option of `scizor backtest run` and `scizor optimize`; what the command line says comes first.
parameters:
  window: 50
  strength: 1.0
cash: 100000
quantity: 100
commission_bps: 10
slippage_bps: 5
"""

_TAKEN = ("test", "conftest", "engine", "schemas", "infra", "producers", "consumers", "strategy")


def write_strategy(name: str, into: Path, shipped: tuple[str, ...]) -> list[Path]:
    """Write NAME.py, test_NAME.py and NAME.yaml, and nothing when one of them is there. Raises UsageError."""
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise UsageError(f"{name!r} is no name for a strategy: Python has it already, choose another")
    if not name.isidentifier() or name != name.lower() or name.startswith(("_", "test_")):
        raise UsageError(
            f"{name!r} is no name for a strategy: write small letters and underscores, like mean_reversion"
        )
    if name in _TAKEN:
        raise UsageError(f"{name!r} is the name of a part of SCIZOR: choose another name")
    if name in shipped:
        raise UsageError(f"there is a {name} already: choose another name")
    words = {"name": name, "kind": "".join(part.capitalize() for part in name.split("_")), "title": _title(name)}
    files = {f"{name}.py": _CODE, f"test_{name}.py": _TEST, f"{name}.yaml": _CONFIG}
    paths = [into / file for file in files]
    for path in paths:
        if path.exists():
            raise UsageError(f"{path} is there already: choose another name, or another folder with --into")
    try:
        into.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, files.values(), strict=True):
            path.write_text(text.format(**words), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{into} cannot be written to: {error.strerror}") from None
    return paths


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
