"""Where the reports of days are kept: `reports/ACCOUNT/DAY.html` and `.json`; a strategy's are `DAY.STRATEGY.*`."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def place_of(home: Path, account_id: str, day: date, strategy_id: str | None = None) -> Path:
    """The page's file; the document lies beside it."""
    strategy = f".{quote(strategy_id, safe='')}" if strategy_id else ""
    return home / "reports" / quote(account_id, safe="") / f"{day.isoformat()}{strategy}.html"


def save(home: Path, document: Mapping[str, Any], page: str) -> Path:
    """Write both, each whole or not at all; the document last. Returns where the page is."""
    day = date.fromisoformat(document["day"])
    place = place_of(home, document["account_id"], day, document["strategy_id"])
    place.parent.mkdir(parents=True, exist_ok=True)
    _write(place, page)
    _write(place.with_suffix(".json"), json.dumps(document, indent=2) + "\n")
    return place


def closed_at(home: Path, account_id: str, day: date) -> datetime:
    """After which close the account's report of the day was made; the distant past when it was not, or by hand."""
    place = place_of(home, account_id, day).with_suffix(".json")
    try:
        told = json.loads(place.read_text(encoding="utf-8")).get("closed_at")
    except (FileNotFoundError, ValueError):
        return NEVER  # half a file is made anew
    return datetime.fromisoformat(told) if told else NEVER


def _write(place: Path, text: str) -> None:
    draft = place.with_name(f"{place.name}.{os.getpid()}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(place)
