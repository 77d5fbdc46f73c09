"""Which kills were told of, and which are confirmed: in a file, so that a restart neither repeats nor widens."""

import json
from collections.abc import Iterable
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from infra.kill import Kill


class KnownKills:
    """Kill ids; one that is lost from here is told of once more, and confirmed once more."""

    def __init__(self, home: Path, log: FilteringBoundLogger) -> None:
        self._file = home / "kill-known.json"
        self._log = log
        self._confirmed = _read(self._file)
        """By kill id."""

    def is_told(self, kill: Kill) -> bool:
        return kill.kill_id in self._confirmed

    def is_confirmed(self, kill: Kill) -> bool:
        return self._confirmed.get(kill.kill_id, False)

    def told(self, kill: Kill) -> None:
        self._confirmed.setdefault(kill.kill_id, False)
        self._write()

    def confirmed(self, kill: Kill) -> None:
        self._confirmed[kill.kill_id] = True
        self._write()

    def keep(self, kills: Iterable[Kill]) -> None:
        """Forget all others."""
        ids = {kill.kill_id for kill in kills}
        self._confirmed = {kill_id: confirmed for kill_id, confirmed in self._confirmed.items() if kill_id in ids}
        self._write()

    def _write(self) -> None:
        draft = self._file.with_suffix(".draft")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(self._confirmed), encoding="utf-8")
            draft.replace(self._file)
        except OSError as error:  # stopping goes on, whatever the disk says
            self._log.error("known kills not written", error=str(error))


def _read(file: Path) -> dict[str, bool]:
    try:
        found = json.loads(file.read_bytes())
        return {str(kill_id): bool(confirmed) for kill_id, confirmed in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}
