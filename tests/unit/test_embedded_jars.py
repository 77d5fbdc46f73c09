"""The lock of the broker's jars: complete, well formed, and stronger than a damaged file."""

import re
from pathlib import Path

from infra.embedded.jars import Jar, locked_jars

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_lock_names_one_version_of_each_jar_with_its_hash() -> None:
    jars = locked_jars()

    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars) == 46
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)


def test_all_of_kafka_is_of_one_version() -> None:
    assert {jar.version for jar in locked_jars() if jar.group == "org.apache.kafka"} == {"4.3.1"}


def test_the_log_bridge_has_the_version_of_its_log_library() -> None:
    versions = {jar.artifact: jar.version for jar in locked_jars()}

    assert versions["log4j-slf4j-impl"] == versions["log4j-core"] == versions["log4j-api"]


def test_a_missing_or_damaged_file_is_not_good(tmp_path: Path) -> None:
    jar = Jar("org.example", "thing", "1.0", EMPTY_SHA256)
    path = jar.path(tmp_path)

    assert path == tmp_path / "org" / "example" / "thing" / "1.0" / "thing-1.0.jar"
    assert not jar.is_good(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    assert not jar.is_good(tmp_path)
    path.write_bytes(b"")
    assert jar.is_good(tmp_path)
