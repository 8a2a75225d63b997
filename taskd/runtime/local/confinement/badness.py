"""How soon the kernel kills a process when memory runs out: those of a sandbox before the daemon and all else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MORE = 500
"""As if it took half of the machine's memory besides what it takes; 1000 is the most there is."""
_MOST = 1000


class Badness:
    """That of this process, which what it forks begins with. Where it cannot be seen or set, nothing happens."""

    def __init__(self) -> None:
        self._fd: int | None = None
        with suppress(OSError):  # opened before the file can be written no more
            self._fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """What is forked in the block is killed sooner."""
        before = self._value()
        self._set(None if before is None else min(_MOST, before + _MORE))
        try:
            yield
        finally:
            self._set(before)

    def _value(self) -> int | None:
        if self._fd is None:
            return None
        try:
            return int(os.pread(self._fd, 16, 0))
        except (OSError, ValueError):
            return None

    def _set(self, value: int | None) -> None:
        if self._fd is not None and value is not None:
            with suppress(OSError):
                os.pwrite(self._fd, b"%d" % value, 0)
