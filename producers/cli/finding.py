"""What a check of `scizor doctor` found."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What one check found; `fix` says what to do unless all is well."""

    status: Status
    detail: str
    fix: str = ""
