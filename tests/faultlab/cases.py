"""The table of cases: which faults, over which work. Pairs of faults are drawn by the seed."""

from dataclasses import dataclass
from random import Random

from tests.faultlab import (
    faults_of_callers,
    faults_of_gateway,
    faults_of_gateway_and_versions,
    faults_of_limits,
    faults_of_records,
    faults_of_servers,
    faults_of_services,
    long_workloads,
    strangers,
)
from tests.faultlab.faults import FAULTS
from tests.faultlab.workloads import WORKLOADS

TABLE = (
    faults_of_callers,
    faults_of_services,
    faults_of_servers,
    faults_of_gateway,
    faults_of_records,
    faults_of_gateway_and_versions,
    faults_of_limits,
    long_workloads,
    strangers,
)
"""Where faults and workloads enter the table when they are imported."""


@dataclass(frozen=True)
class Case:
    """One row: faults over a workload; with a variant, a positive control that the judge has to find out."""

    name: str
    faults: tuple[str, ...]
    work: str = "orders"
    variant: str = ""
    """A service that is broken on purpose: `service=variant`."""
    breaks: tuple[int, ...] = ()
    """Promises of which at least one has to be found broken."""

    @property
    def matrix(self) -> str:
        rows = [WORKLOADS[self.work].matrix, *(FAULTS[name].matrix for name in self.faults)]
        return " + ".join(row for row in rows if row)

    @property
    def meaning(self) -> str:
        broken = [f"with the broken {self.variant}"] if self.variant else []
        return "; ".join([WORKLOADS[self.work].meaning, *(FAULTS[name].meaning for name in self.faults), *broken])


PAIR = "pair"
"""Two faults over orders, drawn by the seed (F40)."""
PAIRED = sorted(name for name, fault in FAULTS.items() if fault.pairs and fault.work == "orders")
_IN_A_BURST = ("executor-killed-anytime", "risk-killed-anytime", "risk-killed-at-a-statement", "risk-cut-at-commit",
               "risk-has-a-second-member", "postgres-cut", "kafka-frozen")  # fmt: skip
_IN_A_KILL = ("executor-killed-anytime", "executor-killed-at-its-cancel", "executor-frozen", "risk-killed-anytime",
              "closed-after-acknowledgement", "postgres-silent", "postgres-killed", "kafka-frozen", "kafka-killed",
              "gateway-frozen")  # fmt: skip
_OVER_BARS = ("kafka-killed", "postgres-killed", "postgres-cut", "poison-on-market.bars")

CASES = {
    case.name: case
    for case in (
        *(Case(name, (name,), fault.work) for name, fault in FAULTS.items()),
        *(Case(work, (), work) for work in WORKLOADS),
        *(Case(f"burst-{name}", (name,), "burst") for name in _IN_A_BURST),
        *(Case(f"kill-{name}", (name,), "kill") for name in _IN_A_KILL),
        *(Case(f"bars-{name}", (name,), "bars") for name in _OVER_BARS),
    )
}
IN_TURN = [name for name, case in CASES.items() if not WORKLOADS[case.work].takes_minutes]
"""Those that seeds go through; the others are played by name."""
CONTROLS = {
    case.name: case
    for case in (
        Case("control-no-dedupe", ("everything-told-twice",), variant="executor=no-dedupe", breaks=(4, 5)),
        Case(
            "control-sends-again",
            ("executor-killed-before-the-acknowledgement",),
            variant="executor=sends-again",
            breaks=(1, 2),
        ),
        Case("control-no-reservation", (), work="burst", variant="risk=no-reservation", breaks=(3,)),
        Case("control-commits-first", ("persister-killed-in-a-silence",), "bars", "persister=commits-first", (6,)),
    )
}


def case_of(name: str, seed: int) -> Case:
    """The case of that name; of pairs, the one that the seed draws."""
    if name != PAIR:
        return CASES[name] if name in CASES else CONTROLS[name]
    return Case(PAIR, tuple(Random(f"pair {seed}").sample(PAIRED, 2)))


def planned(seeds: range) -> list[tuple[str, int]]:
    """A case for each seed: the rows of the table in turn, and after every second one a pair."""
    names = list(IN_TURN)
    return [(PAIR if seed % 3 == 2 else names[(seed - seed // 3) % len(names)], seed) for seed in seeds]
