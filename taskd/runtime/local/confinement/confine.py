"""Confines a sandbox: first its supervisor, then its program, each just before the next one is started.

The order matters. Mounts come first, because a process in a Landlock domain cannot mount; the filter of system calls
comes last, because it forbids what the others need.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from typing import TypedDict

from taskd.runtime.local.confinement import capabilities, kernel, landlock, mounts, seccomp

_FILES_SOFT, _FILES_HARD = 1024, 4096
_PROCESSES = 1024
"""As many as at Lambda. The kernel counts those of each sandbox by itself, but none of root's."""


class Rules(TypedDict):
    """What one sandbox may do."""

    scratch: str
    """A directory of its own."""
    readable: list[str]
    """Files and directories that it may read and run, and nothing else."""
    writable: list[str]
    """Directories that it may change besides the scratch directory."""
    tree: mounts.Tree | None
    """What it sees, where it has mounts of its own."""
    own_processes: bool
    """Whether it gets numbers of processes of its own, and so can name no other process."""
    landlock_abi: int
    """Which version of Landlock keeps it to that; 0 for none."""
    listen_ports: list[int]
    """The TCP ports that it may listen on; 0 stands for those that the kernel chooses."""
    connect_ports: list[int] | None
    """The TCP ports that it may connect to; ``None`` for all."""
    seccomp: bool
    """Whether its system calls are filtered."""
    file_max_bytes: int
    """The largest file that it may write."""


def confine_supervisor(rules: Rules) -> bool:
    """Confines a supervisor, and all that it will start; returns whether a signal to all reaches only these.

    :raises OSError: the kernel does not let it.
    """
    if rules["tree"] is not None:
        mounts.show_only(rules["tree"])
    kernel.forbid_new_privileges()
    capabilities.drop_all()
    if rules["own_processes"]:
        return True
    if rules["landlock_abi"] < landlock.ABI_SCOPE:
        return False
    launcher = os.getppid()
    os.kill(launcher, 0)
    landlock.scope_signals()
    return not _reaches(launcher)


def _reaches(process: int) -> bool:
    """Whether a signal gets to the process. One that is gone counts as reached: nothing can be told from it."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        return True
    return True


def confine_program(rules: Rules) -> None:
    """Confines this process, which is about to run a function's program. There is no way back.

    :raises OSError: the kernel does not let it.
    """
    _limit(resource.RLIMIT_CORE, 0, 0)
    _limit(resource.RLIMIT_FSIZE, rules["file_max_bytes"], rules["file_max_bytes"])
    _limit(resource.RLIMIT_NOFILE, _FILES_SOFT, _FILES_HARD)
    if rules["tree"] is not None:  # else it would count all that the user runs
        _limit(resource.RLIMIT_NPROC, _PROCESSES, _PROCESSES)
    if rules["landlock_abi"]:
        ports = landlock.Ports(listen=rules["listen_ports"], connect=rules["connect_ports"])
        landlock.restrict(_accesses(rules), ports, rules["landlock_abi"])
    if rules["seccomp"]:
        seccomp.refuse_calls()


def _limit(what: int, soft: int, hard: int) -> None:
    """Sets a limit, unless it is lower already, or the machine does not let it."""
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(what)
        if most == resource.RLIM_INFINITY or most > hard:
            resource.setrlimit(what, (soft, hard))


def _accesses(rules: Rules) -> Iterator[tuple[str, int]]:
    yield from ((path, landlock.WRITE | landlock.READ) for path in (rules["scratch"], *rules["writable"]))
    yield from ((path, landlock.READ) for path in rules["readable"])
    yield from ((device, landlock.DEVICE) for device in mounts.DEVICES)
    yield "/proc/self", landlock.READ
