"""How much memory each sandbox has resident, and the monitor that ends those over their limit.

A sandbox is the process that leads a group, and all that comes of it: whoever leaves the group still descends from the
supervisor, which is the leader's parent and nobody else's.

What is resident is polled: a limit of the address space would break V8 and libcurl, which reserve far more than
they use. Where ``/proc`` is not Linux's, nothing is limited.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc")
_POLL_INTERVAL_S = 0.1
_RECHECK_S = 0.02
_POLL_LOAD_MAX = 0.05
"""The largest share of one processor that polling may take."""


class MemoryLimited(Protocol):
    """A process group with a memory limit."""

    @property
    def group(self) -> int | None:
        """Its id; ``None`` while, or when, it has none."""

    @property
    def memory_limit_bytes(self) -> int:
        """How much it may have resident."""

    def out_of_memory(self) -> None:
        """It has more: end it."""


class MemoryMonitor:
    """Polls the memory of the busy sandboxes, while there are any."""

    def __init__(self, busy: Callable[[], Sequence[MemoryLimited]]) -> None:
        self._busy = busy
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Polls until no sandbox is busy. Idempotent."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        suspects: set[MemoryLimited] = set()
        pause_s = _POLL_INTERVAL_S
        while self._busy():
            await asyncio.sleep(_RECHECK_S if suspects else pause_s)
            began_s = time.perf_counter()
            over = await self._over_limit()
            pause_s = max(_POLL_INTERVAL_S, (time.perf_counter() - began_s) / _POLL_LOAD_MAX)
            # Twice in a row: while a process starts another, its memory shows twice for a moment.
            for sandbox in over & suspects:
                sandbox.out_of_memory()
            suspects = over - suspects

    async def _over_limit(self) -> set[MemoryLimited]:
        limits = {sandbox.group: sandbox for sandbox in self._busy() if sandbox.group is not None}
        limit_bytes = {group: sandbox.memory_limit_bytes for group, sandbox in limits.items()}
        over = await asyncio.to_thread(groups_over_limit, limit_bytes)
        return {sandbox for group, sandbox in limits.items() if group in over and sandbox.group == group}

    async def stop(self) -> None:
        """Polls no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


def groups_over_limit(limit_bytes: dict[int, int]) -> set[int]:
    """Those of the process groups that have more resident than their limit.

    Shared memory is counted once: a resident set over the limit is measured again as proportional set size (PSS).
    """
    members = _members(limit_bytes)
    return {
        group
        for group, processes in members.items()
        if sum(processes.values()) > limit_bytes[group] and _proportional_set_size_bytes(processes) > limit_bytes[group]
    }


def _members(groups: Iterable[int]) -> dict[int, dict[int, int]]:
    """For each group the processes of its sandbox, and for each of those what it has resident, in bytes."""
    members: dict[int, dict[int, int]] = {group: {} for group in groups}
    stats = {process: stat for process in _processes() if (stat := _stat(process)) is not None}
    sandbox_of = {stats[group].parent: group for group in members if group in stats and stats[group].parent > 1}
    for process, stat in stats.items():
        group = stat.group if stat.group in members else _sandbox(process, stats, sandbox_of)
        if group is not None:
            members[group][process] = stat.resident_bytes
    return members


class _Stat(NamedTuple):
    parent: int
    group: int
    resident_bytes: int


def _stat(process: int) -> _Stat | None:
    text = _read(_PROC / str(process) / "stat")
    # pid (name) state parent group ...; the name may hold anything, spaces and parentheses too
    fields = text[text.rfind(b")") + 1 :].split(None, 22)
    return _Stat(int(fields[1]), int(fields[2]), int(fields[21]) * _PAGE_BYTES) if len(fields) > 21 else None


def _sandbox(process: int, stats: dict[int, _Stat], sandbox_of: dict[int, int]) -> int | None:
    """The sandbox that the process came of, by the supervisors in ``sandbox_of``."""
    for _ in stats:  # they were not read at one moment, so there could be a circle
        process = stats[process].parent
        if process in sandbox_of or process not in stats:
            break
    return sandbox_of.get(process)


def _processes() -> list[int]:
    if not _PROC.is_dir():
        return []
    with os.scandir(_PROC) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdecimal()]


def _proportional_set_size_bytes(processes: dict[int, int]) -> int:
    return sum(_process_pss_bytes(process, resident) for process, resident in processes.items())


def _process_pss_bytes(process: int, resident_bytes: int) -> int:
    """A process's proportional set size; its whole resident set, where the kernel does not say."""
    for line in _read(_PROC / str(process) / "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return resident_bytes


def _read(path: Path) -> bytes:
    """What a file of ``/proc`` says; nothing, if its process is gone meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
