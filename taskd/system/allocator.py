"""The C library's allocator: large blocks go back to the system as soon as they are free.

By itself glibc takes ever larger blocks from its heaps once some were freed, and these keep them: a hundred requests of
6 MB, one after the other, left 110 MiB behind.
"""

import ctypes
import sys

from taskd.system.os_limits import attempt

_M_MMAP_THRESHOLD = -3
LARGE_BYTES = 1 << 20
"""A block of this size or more is mapped by itself. Few are, and getting its pages takes some 0.1 ms for each MiB."""


def give_back_large_blocks() -> None:
    """Has the allocator map blocks of ``LARGE_BYTES`` or more by themselves, where it is glibc."""
    if sys.platform == "linux":
        attempt("set what its allocator does with large blocks", _set_threshold)


def _set_threshold() -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None and mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) != 1:
        raise ValueError("mallopt refuses it")
