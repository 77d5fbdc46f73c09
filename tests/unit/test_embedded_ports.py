"""Free ports: the wished one when it is free, else another, never one twice."""

import socket

from infra.embedded.ports import answers, free_port, is_free


def test_the_wished_port_is_given_once() -> None:
    wished = free_port()
    other = free_port(wished)

    assert other != wished
    assert is_free(wished)
    assert is_free(other)


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]

        assert not is_free(taken)
        assert answers("127.0.0.1", taken)
        assert free_port(taken) != taken

    assert not answers("127.0.0.1", taken)
