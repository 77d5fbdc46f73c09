"""Who types, as every record takes it."""

import getpass
import os

from infra.kill import as_name


def person() -> str:
    """By the system's name, whatever its letters are; by the number of one that has none."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return as_name(f"cli {user}")
