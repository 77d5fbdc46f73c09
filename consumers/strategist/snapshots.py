"""Files that spare a restart the feeding of everything since the deployment; without them it only takes longer."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import orjson

from infra.journal.spans import Past
from infra.settings import Settings
from schemas.place import At

_FOLDER = "strategist"


@dataclass(frozen=True)
class Snapshot:
    """A strategy as it was behind an entry of its journal."""

    strategy_id: str
    sequence: int
    deployed: At
    code: str
    """Which code made it: another one reads nothing of it."""
    topic_prefix: str
    stamp: str
    """Of the entry: a folder may outlive its topics, and others' entries bear the same numbers."""
    data: bytes

    def fits(self, past: Past | None, topic_prefix: str) -> bool:
        """Whether the journal, read with `since` this entry, is the one that it was written behind."""
        if past is None or topic_prefix != self.topic_prefix or not self.stamp:
            return False
        return (past.deployed, past.since_stamp) == (self.deployed, self.stamp)


class Snapshots:
    """One file a strategy, the newest: a line that says what it is with the SHA-256 of the rest, and the rest."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.home / _FOLDER

    def write(self, snapshot: Snapshot) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        head = {
            "strategy_id": snapshot.strategy_id,
            "sequence": snapshot.sequence,
            "deployed": list(snapshot.deployed),
            "code": snapshot.code,
            "topic_prefix": snapshot.topic_prefix,
            "stamp": snapshot.stamp,
            "sha256": hashlib.sha256(snapshot.data).hexdigest(),
        }
        path = self._path(snapshot.strategy_id)
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(orjson.dumps(head) + b"\n" + snapshot.data)
        fresh.replace(path)

    def read(self, code: str) -> dict[str, Snapshot]:
        """Those that this code can read, by strategy; a damaged one is none."""
        found = {}
        for path in sorted(self._folder.glob("*.snapshot")):
            snapshot = _snapshot(path)
            if snapshot is not None and snapshot.code == code:
                found[snapshot.strategy_id] = snapshot
        return found

    def _path(self, strategy_id: str) -> Path:
        return self._folder / f"{hashlib.sha256(strategy_id.encode()).hexdigest()[:32]}.snapshot"


def _snapshot(path: Path) -> Snapshot | None:
    line, _, data = path.read_bytes().partition(b"\n")
    try:
        head = orjson.loads(line)
        if hashlib.sha256(data).hexdigest() != head["sha256"]:
            return None
        told = {name: head[name] for name in ("strategy_id", "sequence", "code", "topic_prefix", "stamp")}
        return Snapshot(**told, deployed=At(*head["deployed"]), data=data)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
