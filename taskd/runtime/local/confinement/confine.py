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

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Rules(TypedDict):
    """What one sandbox may do."""

    scratch: str
    """A directory of its own."""
    readable: list[str]
    """Files and directories that it may read and run, and nothing else."""
    writable: list[str]
    """Directories that it may change besides the scratch directory."""
    own_mounts: bool
    """Whether it gets a view of the file system of its own."""
    file_max_bytes: int
    """The largest file that it may write."""


def confine_supervisor(rules: Rules) -> bool:
    """Confines a supervisor, and all that it will start; returns whether a signal to all reaches only these.

    :raises OSError: the kernel does not let it.
    """
    if rules["own_mounts"]:
        mounts.isolate(rules["scratch"], rules["writable"], rules["readable"])
    kernel.forbid_new_privileges()
    capabilities.drop_all()
    if landlock.ABI < landlock.ABI_SCOPE:
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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError):  # it may be lower already
        resource.setrlimit(resource.RLIMIT_FSIZE, (rules["file_max_bytes"],) * 2)
    if landlock.ABI:
        landlock.restrict(_accesses(rules))
    if seccomp.IS_AVAILABLE:
        seccomp.refuse_calls()


def _accesses(rules: Rules) -> Iterator[tuple[str, int]]:
    yield from ((path, landlock.WRITE | landlock.READ) for path in (rules["scratch"], *rules["writable"]))
    if rules["own_mounts"]:
        yield mounts.TMP, landlock.WRITE | landlock.READ
    yield from ((path, landlock.READ) for path in rules["readable"])
    yield from ((device, landlock.DEVICE) for device in _DEVICES)
    yield "/proc/self", landlock.READ
