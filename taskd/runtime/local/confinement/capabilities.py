"""Capabilities: what makes root more than a user. A sandbox has none, whoever the daemon runs as."""

import ctypes
import errno
from contextlib import suppress

from taskd.runtime.local.confinement import kernel

_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 24, 47, 4
_VERSION_3 = 0x20080522
_LAST = 63


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


def drop_all() -> None:
    """From now on this process, and all that come of it, have none.

    :raises OSError: the kernel does not let it.
    """
    with suppress(OSError):  # a machine that forbids the call; what counts is below
        kernel.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    for capability in range(_LAST + 1):
        try:
            kernel.prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):  # there are no more; or it was not there to be lost
                raise
            break
    header, sets = _Header(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    kernel.call("capget", ctypes.byref(header), ctypes.byref(sets))
    if any(sets):  # a service may be forbidden the call, and then has none
        kernel.call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
