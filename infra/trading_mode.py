"""What is traded: simulated, paper or live. What does not fit the mode is refused; live has to be said three times."""

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path

from infra.errors import RefusedError
from infra.settings import Settings

GREEN_AGE_MAX = timedelta(days=1)
"""How old a green `scizor doctor` may be when a person starts live trading; a restart needs no new one."""


class ModeRefusedError(RefusedError):
    """The settings contradict each other about whose money is traded."""


def refuse_contradictions(settings: Settings) -> None:
    """What the settings alone can tell."""
    mode, host = settings.trading_mode, settings.ib_host
    if mode == "simulated" and host and settings.clock_skew_seconds:
        raise ModeRefusedError(
            f"SCIZOR_IB_HOST names a gateway ({host}) and SCIZOR_TRADING_MODE is simulated: say paper or live; "
            "for a simulator there, which lives at another date, set SCIZOR_CLOCK_SKEW_SECONDS=0"
        )
    if mode != "simulated" and not host:
        raise ModeRefusedError(
            f"SCIZOR_TRADING_MODE is {mode} and SCIZOR_IB_HOST names no gateway: name the host of TWS or IB Gateway"
        )
    if mode != "live":
        return
    if not settings.ib_account:
        raise ModeRefusedError("SCIZOR_TRADING_MODE is live: name the account in SCIZOR_IB_ACCOUNT")
    if settings.live_account != settings.ib_account:
        raise ModeRefusedError(
            "SCIZOR_TRADING_MODE is live: type the id of the account that trades real money once more, as "
            f"SCIZOR_LIVE_ACCOUNT; it is to be equal to SCIZOR_IB_ACCOUNT ({settings.ib_account})"
        )


def refuse_unproved(settings: Settings, started_at: datetime | None = None) -> None:
    """Live needs a `scizor doctor` that was green with this gateway and account; for a person's start, lately."""
    refuse_contradictions(settings)
    if settings.trading_mode != "live":
        return
    green_at = _green_at(settings)
    if green_at is None:
        raise ModeRefusedError(
            f"live trading of {settings.ib_account} needs a green `scizor doctor` with this gateway: "
            "run it, and mend what it finds"
        )
    if started_at is not None and started_at - green_at > GREEN_AGE_MAX:
        raise ModeRefusedError(f"`scizor doctor` was green at {green_at:%F %T}Z: run it again before you trade live")


def account_fits(account_id: str, settings: Settings) -> bool:
    """Paper accounts, and those of the simulator, begin with D; others are real money."""
    return account_id.startswith("D") is (settings.trading_mode != "live")


def note_green(settings: Settings, now: datetime) -> None:
    """`scizor doctor` found nothing that fails."""
    file = _file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps({"of": _identity(settings), "at": now.isoformat()}), encoding="utf-8")
    draft.replace(file)


def _green_at(settings: Settings) -> datetime | None:
    try:
        told = json.loads(_file(settings).read_text(encoding="utf-8"))
        return datetime.fromisoformat(told["at"]) if told["of"] == _identity(settings) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(settings: Settings) -> Path:
    return settings.home / "doctor.json"


def _identity(settings: Settings) -> str:
    """Of the gateway and the account that were looked at."""
    said = (settings.trading_mode, settings.ib_host, settings.ib_port, settings.ib_account)
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
