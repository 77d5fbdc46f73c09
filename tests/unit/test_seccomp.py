"""The programs that the kernel runs at every system call, run here by hand."""

import struct

import pytest

from infra.sandbox import seccomp

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What a program of classic BPF says of a call."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<iIQ6Q", number, architecture, 0, *padded)
    steps = list(struct.iter_unpack("<HBBI", program))
    place, held = 0, 0
    while True:
        code, when_true, when_false, value = steps[place]
        place += 1
        if code == 0x20:
            (held,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            place += when_true if (held == value if code == 0x15 else held >= value) else when_false


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(
    ("call", "arguments", "at_first", "later"),
    [
        ("read", (), ALLOW, ALLOW),
        ("mmap", (), ALLOW, ALLOW),
        ("exit_group", (), ALLOW, ALLOW),
        ("execve", (), ALLOW, REFUSE),
        ("prlimit64", (), ALLOW, REFUSE),
        ("prctl", (22,), ALLOW, REFUSE),
        ("prctl", (15,), REFUSE, REFUSE),
        ("fcntl", (0, 1), ALLOW, ALLOW),
        ("fcntl", (0, 8), REFUSE, REFUSE),
        ("ioctl", (0, 0x5451), ALLOW, ALLOW),
        ("ioctl", (0, 0x5412), REFUSE, REFUSE),
    ],
)
def test_a_call_is_permitted_or_refused(
    machine: str, call: str, arguments: tuple[int, ...], at_first: int, later: int
) -> None:
    architecture, numbers = seccomp._MACHINES[machine]
    first, second = seccomp.programs(machine)

    assert verdict(first, architecture, numbers[call], *arguments) == at_first
    assert verdict(second, architecture, numbers[call], *arguments) == later


@pytest.mark.parametrize(("machine", "architecture"), ARCHITECTURES.items())
def test_every_call_without_a_name_here_is_refused(machine: str, architecture: int) -> None:
    known = set(seccomp._MACHINES[machine][1].values())

    for program in seccomp.programs(machine):
        assert {verdict(program, architecture, number) for number in range(600) if number not in known} == {REFUSE}


def test_another_architecture_and_the_other_calls_of_this_one_end_the_process() -> None:
    for program in seccomp.programs("x86_64"):
        assert verdict(program, 0x40000003, 1) == KILL  # 32 bits
        assert verdict(program, ARCHITECTURES["x86_64"], 0x40000001) == KILL  # x32
