"""The cache of loaded classes: made in the background, used by the next start, no danger when damaged."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded import aot
from infra.embedded.jars import class_path
from infra.embedded.kafka import Folders, KafkaServer
from infra.errors import EnvironmentUnhealthyError


@pytest.fixture(scope="module")
def own_jars(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jars under another path, so that nobody else sees the cache that is made here."""
    class_path(jars, lambda _what, _fraction: None)
    folder = tmp_path_factory.mktemp("home") / "jars"
    folder.mkdir()
    for group in jars.iterdir():
        if group.is_dir():
            (folder / group.name).symlink_to(group)
    return folder


@pytest.fixture(scope="module")
def cache(own_jars: Path) -> Path:
    (own_jars / f"kafka-0123456789ab.aot.{2**22 + 1}").touch()  # as a killed maker leaves it
    subprocess.run([sys.executable, "-m", "infra.embedded.aot", str(own_jars)], check=True, timeout=100)
    [made] = own_jars.glob("*.aot")
    return made


def test_a_broker_starts_with_the_cache(cache: Path, own_jars: Path, tmp_path: Path) -> None:
    server = KafkaServer(Folders(tmp_path / "kafka", tmp_path / "logs", own_jars))
    try:
        server.start()
        arguments = Path(f"/proc/{server.pid}/cmdline").read_text().split("\0")
        maps = Path(f"/proc/{server.pid}/maps").read_text()
    finally:
        server.stop()

    assert f"-XX:AOTCache={cache}" in arguments
    assert str(cache) in maps


def test_what_a_killed_maker_left_is_removed(cache: Path, own_jars: Path) -> None:
    assert [file for file in own_jars.iterdir() if not file.is_dir()] == [cache]


def test_a_start_that_fails_with_the_cache_leaves_it_out_the_next_time(
    cache: Path, own_jars: Path, tmp_path: Path
) -> None:
    folders = Folders(tmp_path / "kafka", tmp_path / "logs", own_jars)
    (tmp_path / "kafka" / "logs").mkdir(parents=True)
    (tmp_path / "kafka" / "logs" / "meta.properties").write_text("version=1\nnode.id=77\ncluster.id=other\n")

    with pytest.raises(EnvironmentUnhealthyError):
        KafkaServer(folders).start()

    assert not aot.cache_file(own_jars, class_path(own_jars, lambda _what, _fraction: None)).exists()
