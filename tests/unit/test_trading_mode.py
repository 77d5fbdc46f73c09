"""Simulated, paper, live: what contradicts the mode is refused, and live has to be said three times."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from infra.trading_mode import ModeRefusedError, account_fits, note_green, refuse_contradictions, refuse_unproved
from tests.builders import SEEN

LIVE = {"trading_mode": "live", "ib_host": "tws", "ib_account": "U7654321", "live_account": "U7654321"}


def some_settings(home: Path, **changes: Any) -> Settings:
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    return Settings.model_construct(**{**defaults, "home": home, **changes})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ib_host": "tws"}, "say paper or live"),
        ({"trading_mode": "paper"}, "names no gateway"),
        ({"trading_mode": "live"}, "names no gateway"),
        ({**LIVE, "ib_account": ""}, "name the account"),
        ({**LIVE, "live_account": ""}, "once more"),
        ({**LIVE, "live_account": "U7654322"}, "once more"),
        (LIVE, "needs a green `scizor doctor`"),
    ],
)
def test_what_contradicts_the_mode_is_refused_with_what_to_do(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ModeRefusedError, match=why):
        refuse_unproved(some_settings(tmp_path, **changes))


@pytest.mark.parametrize(
    "changes", [{}, {"ib_host": "simulator", "clock_skew_seconds": 0.0}, {"trading_mode": "paper", "ib_host": "tws"}]
)
def test_what_agrees_needs_no_more(tmp_path: Path, changes: dict[str, Any]) -> None:
    refuse_unproved(some_settings(tmp_path, **changes), SEEN)


def test_live_goes_on_after_a_green_doctor_of_the_same_gateway_and_account(tmp_path: Path) -> None:
    live = some_settings(tmp_path, **LIVE)
    note_green(some_settings(tmp_path, **{**LIVE, "ib_host": "another"}), SEEN)
    refuse_contradictions(live)
    with pytest.raises(ModeRefusedError, match="green"):
        refuse_unproved(live)

    note_green(live, SEEN)
    refuse_unproved(live, SEEN + timedelta(hours=23))
    refuse_unproved(live)  # a restart after weeks asks nobody
    with pytest.raises(ModeRefusedError, match="run it again"):
        refuse_unproved(live, SEEN + timedelta(hours=25))


@pytest.mark.parametrize(
    ("mode", "account", "fits"),
    [
        ("simulated", "DU1234567", True),
        ("paper", "DF1", True),
        ("live", "U7654321", True),
        ("simulated", "U7654321", False),
        ("paper", "U7654321", False),
        ("live", "DU1234567", False),
    ],
)
def test_an_account_fits_the_mode_by_how_it_begins(tmp_path: Path, mode: str, account: str, fits: bool) -> None:
    assert account_fits(account, some_settings(tmp_path, trading_mode=mode)) is fits
