"""TCP ports of this machine: which are free."""

import os
import socket

from infra.errors import EnvironmentUnhealthyError

# Below the range from which Linux takes the ports of outgoing connections, so that nobody draws ours by chance.
FIRST, LAST = 20_000, 32_000
ATTEMPTS_MAX = 2_000

_given: set[int] = set()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(wished: int = 0, host: str = "127.0.0.1") -> int:
    """`wished` if it is free, else another free port, never the same twice in one process."""
    if wished and wished not in _given and is_free(wished, host):
        _given.add(wished)
        return wished
    span = LAST - FIRST
    start = os.getpid() * 97  # processes begin their search in different places
    for step in range(ATTEMPTS_MAX):
        port = FIRST + (start + step) % span
        if port not in _given and is_free(port, host):
            _given.add(port)
            return port
    raise EnvironmentUnhealthyError(f"no free TCP port between {FIRST} and {LAST}: end some servers and try again")


def answers(host: str, port: int, seconds: float = 1.0) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError:
        return False
    return True
