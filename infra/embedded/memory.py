"""How much memory processes take: proportional set size, so that shared pages count once."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path


def trees_mb(pids: Mapping[str, int]) -> dict[str, float]:
    """Megabytes of each process and its descendants; a descendant that has a name of its own counts there alone.

    One that has ended takes none.
    """
    offspring, named = _offspring(), set(pids.values())
    return {name: _tree_kb(pid, offspring, named) / 1000 for name, pid in pids.items()}


def _tree_kb(root: int, offspring: Mapping[int, list[int]], left_out: set[int]) -> float:
    pids = [root] if root > 0 else []  # 0 was not launched yet, and stands above the whole machine
    for each in pids:  # grows while it is walked
        pids += [child for child in offspring.get(each, ()) if child not in left_out]
    return sum(_pss_kb(each) for each in pids)


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
