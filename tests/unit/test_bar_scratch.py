"""Scratch files of long runs: what a process that was killed left behind goes with the next one."""

import subprocess
import sys
from pathlib import Path

from infra.bar_scratch import Scratch

_KILLED = """
import os, signal, sys
from pathlib import Path
from infra.bar_scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
scratch.writer("bars")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    with Scratch(tmp_path) as one:
        one.writer("bars")
        (used,) = folder.iterdir()
        subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False, timeout=60)
        assert len(list(folder.iterdir())) == 2

        with Scratch(tmp_path) as other:
            other.writer("bars")
            assert len(list(folder.iterdir())) == 2
            assert (used / "bars").exists()
            other.writer("benchmark")

        assert list(folder.iterdir()) == [used]
    assert not list(folder.iterdir())
