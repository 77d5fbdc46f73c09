"""Which system calls the sandbox permits: an allow-list, assembled into the program that the kernel runs."""

import platform
import struct
from collections.abc import Mapping
from types import MappingProxyType

from infra.sandbox.errors import SandboxUnavailableError

# What a Python process needs that computes, reads its libraries and talks through two pipes.
_ALWAYS = (
    "read write open close stat fstat lstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn "
    "pread64 readv writev access mremap madvise getcwd readlink getuid getgid geteuid getegid sigaltstack getpid "
    "gettid futex sched_getaffinity getdents64 fadvise64 exit exit_group openat newfstatat readlinkat faccessat "
    "faccessat2 statx rseq sysinfo uname"
)

# What it takes to become that process: bubblewrap's own last steps, the loader, the interpreter, the second filter.
_AT_START = "execve wait4 arch_prctl set_tid_address set_robust_list prlimit64 getrandom clock_gettime dup setitimer"

# Permitted with some values of one argument alone.
_FCNTL = (1, 2, 3, 1030)  # F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_IOCTL = (0x5450, 0x5451)  # FIONCLEX, FIOCLEX
_PRCTL = (22, 38)  # PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS

# From the kernel's tables: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
_X86_64 = (
    "read 0 write 1 open 2 close 3 stat 4 fstat 5 lstat 6 lseek 8 mmap 9 mprotect 10 munmap 11 brk 12 rt_sigaction 13 "
    "rt_sigprocmask 14 rt_sigreturn 15 ioctl 16 pread64 17 readv 19 writev 20 access 21 mremap 25 madvise 28 dup 32 "
    "setitimer 38 getpid 39 execve 59 exit 60 wait4 61 uname 63 fcntl 72 getcwd 79 readlink 89 sysinfo 99 getuid 102 "
    "getgid 104 geteuid 107 getegid 108 sigaltstack 131 prctl 157 arch_prctl 158 gettid 186 futex 202 "
    "sched_getaffinity 204 getdents64 217 set_tid_address 218 fadvise64 221 clock_gettime 228 exit_group 231 "
    "openat 257 newfstatat 262 readlinkat 267 faccessat 269 set_robust_list 273 prlimit64 302 getrandom 318 statx 332 "
    "rseq 334 faccessat2 439"
)
_AARCH64 = (
    "getcwd 17 dup 23 fcntl 25 ioctl 29 faccessat 48 openat 56 close 57 getdents64 61 lseek 62 read 63 write 64 "
    "readv 65 writev 66 pread64 67 readlinkat 78 newfstatat 79 fstat 80 exit 93 exit_group 94 set_tid_address 96 "
    "futex 98 set_robust_list 99 setitimer 103 clock_gettime 113 sched_getaffinity 123 sigaltstack 132 "
    "rt_sigaction 134 rt_sigprocmask 135 rt_sigreturn 139 uname 160 prctl 167 getpid 172 getuid 174 geteuid 175 "
    "getgid 176 getegid 177 gettid 178 sysinfo 179 brk 214 munmap 215 mremap 216 execve 221 mmap 222 fadvise64 223 "
    "mprotect 226 madvise 233 wait4 260 prlimit64 261 getrandom 278 statx 291 rseq 293 faccessat2 439"
)


def _numbers(table: str) -> Mapping[str, int]:
    words = table.split()
    return MappingProxyType(dict(zip(words[::2], map(int, words[1::2]), strict=True)))


_MACHINES = {"x86_64": (0xC000003E, _numbers(_X86_64)), "aarch64": (0xC00000B7, _numbers(_AARCH64))}
"""By machine: how the kernel calls its architecture, and the numbers of its system calls."""

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_REFUSE = 0x00050000 | 1  # the call fails with EPERM
_X32 = 0x40000000  # calls of the other binary interface that x86-64 kernels have


def programs(machine: str = "") -> tuple[bytes, bytes]:
    """The filter of the start, and the one before a stranger's code runs: no execve, and nothing that undoes it.

    Raises SandboxUnavailableError on a machine whose system calls are not known here.
    """
    machine = machine or platform.machine()
    if machine not in _MACHINES:
        raise SandboxUnavailableError(f"no list of system calls for {machine}: there is one for x86_64 and aarch64")
    architecture, numbers = _MACHINES[machine]
    later = _program(architecture, numbers, _ALWAYS.split(), {"fcntl": _FCNTL, "ioctl": _IOCTL})
    return _program(
        architecture, numbers, f"{_ALWAYS} {_AT_START}".split(), {"fcntl": _FCNTL, "ioctl": _IOCTL, "prctl": _PRCTL}
    ), later


def _program(
    architecture: int, numbers: Mapping[str, int], plain: list[str], by_argument: Mapping[str, tuple[int, ...]]
) -> bytes:
    """Instructions of classic BPF. `by_argument`: calls permitted with some values of one argument alone."""
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for name in plain:
        if name in numbers:
            steps += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, _ALLOW)]
    for name, values in by_argument.items():
        argument = 0 if name == "prctl" else 1
        tests = [step for value in values for step in (_step(_EQUAL, value, 0, 1), _step(_RETURN, _ALLOW))]
        inside = [_step(_LOAD, _ARGUMENTS + 8 * argument), *tests, _step(_RETURN, _REFUSE)]
        steps += [_step(_EQUAL, numbers[name], 0, len(inside)), *inside]
    return b"".join([*steps, _step(_RETURN, _REFUSE)])


def _step(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, value)
