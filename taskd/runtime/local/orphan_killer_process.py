"""The program of the orphan killer: waits for its parent's end, then kills the process groups that it watches.

Runs on its own with nothing but the standard library's quickest modules. Each line of its input names a group:
``+4711`` to watch it, ``-4711`` to watch it no more. The end of the input is the parent's end, however it came about.
"""

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress


def main() -> None:
    """Watches until the input ends, then kills."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent may still be shutting down in good order
    for group in watched(sys.stdin.buffer):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def watched(lines: Iterable[bytes]) -> set[int]:
    """The groups that are still to be watched after ``lines``."""
    groups: set[int] = set()
    for line in lines:
        change, group = line[:1], int(line[1:])
        if change == b"+":
            groups.add(group)
        else:
            groups.discard(group)
    return groups


if __name__ == "__main__":
    main()
