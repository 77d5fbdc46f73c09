"""How much memory processes take: proportional set size, so that shared pages count once."""

from collections import defaultdict
from pathlib import Path


def tree_mb(pid: int, *, children: bool = True) -> float:
    """Megabytes of a process and all its descendants; 0 for one that has ended."""
    pids = [pid]
    if children:
        offspring = _offspring()
        for each in pids:  # grows while it is walked
            pids += offspring[each]
    return sum(_pss_kb(each) for each in pids) / 1000


def _offspring() -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
        except OSError:
            continue  # it ended between the listing and the look
        children[int(parent)].append(int(stat.parent.name))
    return children


def _pss_kb(pid: int) -> float:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    pss = next((line for line in rollup.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return float(pss.split()[1]) * 1.024
