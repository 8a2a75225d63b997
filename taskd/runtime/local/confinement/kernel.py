"""Calls of the Linux kernel that the standard library has no function for."""

import ctypes
import os
import signal
from contextlib import suppress
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *arguments: Any) -> int:
    """Makes a system call.

    :raises OSError: it failed.
    """
    words = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return _checked(_libc.syscall(ctypes.c_long(number), *words))


def call(name: str, *arguments: Any) -> int:
    """Calls a function of the C library.

    :raises OSError: it failed.
    """
    words = (ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments)
    return _checked(_libc[name](*words))


def prctl(option: int, argument: int, *others: int) -> int:
    """Changes an attribute of this process.

    :raises OSError: it failed.
    """
    words = [ctypes.c_ulong(each) for each in (argument, *others)]
    padding = [ctypes.c_ulong(0)] * (4 - len(words))
    return _checked(_libc.prctl(ctypes.c_int(option), *words, *padding))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def has_subreapers() -> bool:
    """Whether :func:`become_subreaper` does anything here."""
    answer = ctypes.c_int()
    try:
        prctl(_PR_GET_CHILD_SUBREAPER, ctypes.addressof(answer))
    except OSError:
        return False
    return True


def become_subreaper() -> None:
    """Descendants whose parent ends become children of this process, where the machine lets it."""
    with suppress(OSError):
        prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """The kernel kills this process when ``parent`` ends, where the machine lets it; also if it has ended already."""
    with suppress(OSError):
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def forbid_new_privileges() -> None:
    """No program that this process runs gets more rights than it has: no set-user-ID, no file capabilities.

    Where the machine forbids even that, what depends on it says so: Landlock and the filter of system calls.
    """
    with suppress(OSError):
        prctl(_PR_SET_NO_NEW_PRIVS, 1)
