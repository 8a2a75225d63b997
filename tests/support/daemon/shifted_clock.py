"""A wall clock that a test sets while daemons run: the machine's, plus what a file says.

Run as a program it is ``taskd serve`` under such a clock: ``python shifted_clock.py FILE serve --config …``.
"""

import argparse
import os
import sys
from itertools import pairwise
from pathlib import Path

from taskd.config import Overrides, load_config
from taskd.daemon import run
from taskd.model.clock import system_clock_ms

_SHIFT_BYTES = 8
"""One aligned word: whoever reads it while it is written sees the old one or the new one."""


class ShiftedClock:
    """A ``Clock`` that many processes share through a file; one of them sets it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._shifts: list[tuple[int, int]] = [(0, self.shift_ms)]
        """From which moment of the machine's clock on the shift was how much."""

    def __call__(self) -> int:
        return system_clock_ms() + self.shift_ms

    @property
    def shift_ms(self) -> int:
        """How far this clock is ahead of the machine's."""
        return int.from_bytes(os.pread(self._fd, _SHIFT_BYTES, 0), "little", signed=True)

    def jump(self, by_ms: int) -> None:
        """Sets the clock ahead, or back. The record of it errs towards the later time, by the time that this takes."""
        before_ms, shift_ms = system_clock_ms(), self.shift_ms + by_ms
        os.pwrite(self._fd, shift_ms.to_bytes(_SHIFT_BYTES, "little", signed=True), 0)
        self._shifts.append((before_ms if by_ms > 0 else system_clock_ms(), shift_ms))

    def latest_ms(self, machine_ms: int, within_ms: int) -> int:
        """The latest time that this clock has shown in the ``within_ms`` before ``machine_ms``."""
        since_ms = machine_ms - within_ms
        return max(
            min(until_ms, machine_ms) + shift_ms
            for from_ms, shift_ms, until_ms in self._spans()
            if from_ms <= machine_ms and until_ms >= since_ms
        )

    def earliest_ms(self, machine_ms: int, within_ms: int) -> int:
        """The earliest time that this clock has shown in the ``within_ms`` before ``machine_ms``."""
        since_ms = machine_ms - within_ms
        return min(
            max(from_ms, since_ms) + shift_ms
            for from_ms, shift_ms, until_ms in self._spans()
            if from_ms <= machine_ms and until_ms >= since_ms
        )

    def reached_ms(self, shown_ms: int, since_ms: int) -> int:
        """The machine's time at which this clock shows ``shown_ms`` or later, the first after ``since_ms``."""
        return min(
            max(from_ms, since_ms, shown_ms - shift_ms)
            for from_ms, shift_ms, until_ms in self._spans()
            if until_ms > max(from_ms, since_ms, shown_ms - shift_ms)
        )

    def set_ahead_ms(self, since_ms: int, until_ms: int) -> list[int]:
        """By how much it was set ahead each time between two moments of the machine."""
        changes = ((at_ms, after - before) for (_, before), (at_ms, after) in pairwise(self._shifts))
        return [by_ms for at_ms, by_ms in changes if by_ms > 0 and since_ms <= at_ms <= until_ms]

    def _spans(self) -> list[tuple[int, int, int]]:
        """From when by the machine's clock the shift was how much, and until when."""
        return [(*shift, until_ms) for shift, (until_ms, _) in pairwise([*self._shifts, (sys.maxsize, 0)])]

    def close(self) -> None:
        """The file stays, and so do the clocks of others."""
        os.close(self._fd)


def main() -> int:
    """Serves under the clock of a file; gives the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clock", type=Path)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--listen")
    options = parser.parse_args()
    config = load_config(options.config, Overrides(data=options.data, listen=options.listen))
    return run(config, ShiftedClock(options.clock))


if __name__ == "__main__":
    sys.exit(main())
