"""A log whose disk is full: nobody's work ends of it, and it is told how much is missing."""

import io
import json
from typing import TextIO, cast

from infra.logs import LineKeeper


class Disk(io.StringIO):
    """Takes nothing while it is full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_lines_that_found_no_room_are_counted_and_told_once_there_is_some() -> None:
    disk = Disk()
    log = LineKeeper(cast(TextIO, disk))

    log.write("first\n")
    disk.full = True
    log.write("second\n")
    log.write("third\n")
    disk.full = False
    log.write("fourth\n")
    log.write("fifth\n")

    first, told, *rest = disk.getvalue().splitlines()
    assert (first, rest) == ("first", ["fourth", "fifth"])
    assert json.loads(told)["lost"] == 2
