"""Runs ``taskd`` where the kernel refuses some system calls, as the filter of a systemd unit or a container does.

A real seccomp filter, which children inherit. It is a program: ``refused_calls.py CALL,CALL... serve ...``.
"""

import ctypes
import platform
import struct
import sys
from pathlib import Path

import taskd.cli

OPTIONAL = {
    "x86_64": {
        "close_range": 436,
        "copy_file_range": 326,
        "fadvise64": 221,
        "getpriority": 140,
        "io_uring_setup": 425,
        "ioprio_set": 251,
        "mbind": 237,
        "membarrier": 324,
        "memfd_create": 319,
        "pidfd_open": 434,
        "pkey_alloc": 330,
        "prctl": 157,
        "prlimit64": 302,
        "sched_setaffinity": 203,
        "sched_setattr": 314,
        "sched_setparam": 142,
        "sched_setscheduler": 144,
        "sched_yield": 24,
        "sendfile": 40,
        "set_mempolicy": 238,
        "setpriority": 141,
        "setrlimit": 160,
        "splice": 275,
    },
    "aarch64": {
        "close_range": 436,
        "copy_file_range": 285,
        "fadvise64": 223,
        "getpriority": 141,
        "io_uring_setup": 425,
        "ioprio_set": 30,
        "mbind": 235,
        "membarrier": 283,
        "memfd_create": 279,
        "pidfd_open": 434,
        "pkey_alloc": 289,
        "prctl": 167,
        "prlimit64": 261,
        "sched_setaffinity": 122,
        "sched_setattr": 274,
        "sched_setparam": 118,
        "sched_setscheduler": 119,
        "sched_yield": 124,
        "sendfile": 71,
        "set_mempolicy": 237,
        "setpriority": 140,
        "setrlimit": 164,
        "splice": 76,
    },
}
"""By machine: the calls that the daemon may make and can do without, with their numbers."""

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001
_NUMBER_OFFSET, _ARCH_OFFSET = 0, 4
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def program(*calls: str) -> tuple[str, ...]:
    """What Python runs so that each of ``calls`` fails with EPERM from the daemon's first line on."""
    return ("-P", str(Path(__file__)), ",".join(calls))


def refuse(calls: list[str]) -> None:
    """Has the kernel refuse ``calls`` to this process and its children, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = _filter(calls)
    loaded = _Program(len(code) // 8, code)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(loaded))):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


def _filter(calls: list[str]) -> bytes:
    """The BPF program: first the architecture, since numbers mean other calls on others, then a jump for each call."""
    machine = platform.machine()
    numbers = [OPTIONAL[machine][call] for call in calls]
    jumps = [(_JUMP_IF_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    lines = [
        (_LOAD, 0, 0, _ARCH_OFFSET),
        (_JUMP_IF_EQUAL, 0, len(numbers) + 1, _AUDIT_ARCH[machine]),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        *jumps,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _EPERM),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


if __name__ == "__main__":
    refused = sys.argv.pop(1)
    refuse(refused.split(","))
    sys.exit(taskd.cli.main())
