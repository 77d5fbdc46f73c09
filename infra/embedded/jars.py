"""The jars of the embedded Kafka: named and hashed in kafka.lock, fetched once, checked at every start."""

import fcntl
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.errors import EnvironmentUnhealthyError

LOCK = Path(__file__).with_name("kafka.lock")
THREADS = 8
ATTEMPTS_MAX = 3
TIMEOUT_SECONDS = 30

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    def path(self, folder: Path) -> Path:
        """Where it lies in a folder laid out like a Maven repository."""
        name = f"{self.artifact}-{self.version}.jar"
        return folder.joinpath(*self.group.split("."), self.artifact, self.version, name)

    def is_good(self, folder: Path) -> bool:
        try:
            return hashlib.sha256(self.path(folder).read_bytes()).hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def locked_jars() -> list[Jar]:
    """All jars that the broker needs."""
    jars = []
    for line in LOCK.read_text(encoding="ascii").splitlines():
        coordinate, sha256 = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, sha256))
    return jars


def class_path(folder: Path, progress: Progress) -> str:
    """The broker's class path, after fetching what `folder` lacks."""
    jars = locked_jars()
    with ThreadPoolExecutor(THREADS) as pool:
        good = list(pool.map(lambda jar: jar.is_good(folder), jars))
    missing = [jar for jar, is_good in zip(jars, good, strict=True) if not is_good]
    if missing:
        _fetch(missing, folder, progress)
    return ":".join(str(jar.path(folder)) for jar in jars)


def _fetch(missing: list[Jar], folder: Path, progress: Progress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "fetch.lock").open("w") as lock, ThreadPoolExecutor(THREADS) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another start may be fetching the same files
        try:
            for done, _ in enumerate(pool.map(lambda jar: _fetch_one(jar, folder), missing), start=1):
                progress(f"fetching Kafka ({done} of {len(missing)} jars, 45 MB in all)", done / len(missing))
        finally:
            pool.shutdown(cancel_futures=True)  # one failure, or a person's Ctrl-C, ends the whole fetch


def _fetch_one(jar: Jar, folder: Path) -> None:
    from jgo.maven import MavenContext  # takes 0.2 s to import, needed once per machine

    context = MavenContext(repo_cache=folder, timeout=TIMEOUT_SECONDS)
    reason = "its content differs from the locked sha256"
    for _ in range(ATTEMPTS_MAX):
        if jar.is_good(folder):
            return
        jar.path(folder).unlink(missing_ok=True)  # half a file of an interrupted run counts as present otherwise
        try:
            context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error)
    if not jar.is_good(folder):
        raise EnvironmentUnhealthyError(
            f"cannot fetch {jar.artifact} {jar.version} from Maven Central: {reason}\n"
            "check the network (a proxy is taken from HTTPS_PROXY), or set SCIZOR_KAFKA to a Kafka that runs elsewhere"
        )
