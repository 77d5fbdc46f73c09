"""The launcher: makes the environment once, repairs it, keeps out of the way afterwards.

Runs on a small project of the same shape whose build needs no network.
"""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.settings import REPOSITORY

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "scizor"
"""
BACKEND = """
import zipfile
EXTRAS = "Provides-Extra: demo\\nProvides-Extra: test\\n"
INFO = "scizor-1.0.dist-info/"
FILES = {
    "launched.py": "import sys\\ndef main():\\n    print('launched', *sys.argv[1:], sep='|')\\n",
    INFO + "METADATA": "Metadata-Version: 2.1\\nName: scizor\\nVersion: 1.0\\n" + EXTRAS,
    INFO + "WHEEL": "Wheel-Version: 1.0\\nGenerator: here\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    INFO + "entry_points.txt": "[console_scripts]\\nscizor = launched:main\\n",
}
def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "scizor-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        for path, text in FILES.items():
            wheel.writestr(path, text)
        wheel.writestr(INFO + "RECORD", "".join(f"{path},,\\n" for path in [*FILES, INFO + "RECORD"]))
    return name
build_wheel = build_editable
"""
TOOLS = ("sh", "cat", "cksum", "dirname", "readlink", "rm", "mv", "sleep", "grep", "tail", "env")


def a_project(folder: Path) -> Path:
    folder.mkdir(parents=True)
    shutil.copy2(REPOSITORY / "scizor", folder / "scizor")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "constraints.txt").write_text("")
    return folder


def launch(project: Path, *arguments: str, path: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PATH": path or f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [str(project / "scizor"), *arguments],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def a_program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder to be the whole PATH: what the launcher may lean on, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"this machine lacks {tool}"
        (folder / tool).symlink_to(found)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after its first start, in a folder with spaces."""
    project = a_project(tmp_path_factory.mktemp("launcher") / "a folder of mine")
    first = launch(project, "status", "two words")
    assert (first.returncode, first.stdout) == (0, "launched|status|two words\n"), first.stderr
    assert "first start: installing" in first.stderr
    assert "MB" in first.stderr
    return project


def test_a_second_start_installs_nothing_and_costs_less_than_half_a_second(project: Path) -> None:
    begun = time.monotonic()
    second = launch(project, "status")
    whole = time.monotonic() - begun
    begun = time.monotonic()
    subprocess.run([str(project / ".venv/bin/scizor")], capture_output=True, check=True)

    assert (second.stdout, second.stderr) == ("launched|status\n", "")
    assert whole - (time.monotonic() - begun) < 0.5


def test_it_finds_its_folder_through_a_symbolic_link(project: Path, tmp_path: Path) -> None:
    (tmp_path / "scizor").symlink_to(project / "scizor")

    assert launch(tmp_path, "up").stdout == "launched|up\n"


def test_tests_bring_their_extra_and_changed_pins_are_followed(project: Path) -> None:
    stamp = project / ".venv" / "scizor.stamp"

    assert "bringing .venv up to date" in launch(project, "test").stderr
    assert stamp.read_text().splitlines()[1] == "demo,test"
    assert launch(project, "status").stderr == ""

    (project / "constraints.txt").write_text("scizor==1.0\n")
    assert "bringing .venv up to date" in launch(project, "status").stderr
    assert stamp.read_text().splitlines()[1] == "demo,test"


def test_an_environment_made_by_hand_is_kept(project: Path) -> None:
    (project / ".venv" / "scizor.stamp").unlink()
    mine = project / ".venv" / "mine"
    mine.touch()

    assert "bringing .venv up to date" in launch(project, "status").stderr
    assert mine.exists()


def test_starts_at_once_share_one_installation_and_repair_a_half_made_one(tmp_path: Path) -> None:
    project = a_project(tmp_path / "new")
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "scizor.unfinished").touch()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    starts = [
        subprocess.Popen(
            [str(project / "scizor"), str(number)],
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    told = [start.communicate(timeout=100) for start in starts]

    assert [out for out, _ in told] == [f"launched|{number}\n" for number in range(3)], told
    assert sum("installing into" in err for _, err in told) == 1
    assert not (project / ".venv" / "scizor.unfinished").exists()


def test_a_failed_installation_says_why_and_is_not_taken_for_a_good_one(project: Path, tmp_path: Path) -> None:
    broken = a_project(tmp_path / "broken")
    shutil.copytree(project / ".venv", broken / ".venv", symlinks=True)
    (broken / ".venv" / "scizor.stamp").unlink()
    (broken / "backend.py").write_text("raise RuntimeError('no backend today')")

    failed = launch(broken, "status")

    assert failed.returncode == 3
    assert "no backend today" in failed.stderr
    assert "check the network and the disk" in failed.stderr
    assert not (broken / ".venv" / "scizor.stamp").exists()
    assert (broken / ".venv" / "scizor.unfinished").exists()


@pytest.mark.parametrize("script", ["exit 127", "echo Python 3.9.2; exit 1"])
def test_without_a_fitting_python_it_says_which_one_it_needs(tmp_path: Path, bare_path: Path, script: str) -> None:
    a_program(bare_path, "python3", script)

    refused = launch(a_project(tmp_path / "new"), "up", path=str(bare_path))

    assert refused.returncode == 3
    assert "needs Python 3.11, 3.12 or 3.13" in refused.stderr


def test_without_the_venv_module_it_names_one_command(tmp_path: Path, bare_path: Path) -> None:
    a_program(bare_path, "python3", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"')

    refused = launch(a_project(tmp_path / "new"), "up", path=str(bare_path))

    assert refused.returncode == 3
    assert "install" in refused.stderr.splitlines()[-1]
    assert "venv" in refused.stderr.splitlines()[-1]


def test_without_the_venv_module_it_uses_uv(tmp_path: Path, bare_path: Path, project: Path) -> None:
    a_program(bare_path, "python3", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"')
    a_program(bare_path, "uv", f'echo "$@" >{tmp_path}/told; for last; do :; done; cp -a "{project}/.venv" "$last"')
    (bare_path / "cp").symlink_to(str(shutil.which("cp")))

    launch(a_project(tmp_path / "new"), "up", path=str(bare_path))

    assert "venv --quiet --clear --seed --python python3" in (tmp_path / "told").read_text()
