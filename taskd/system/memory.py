"""How much memory this process may have: the machine's, or what a container or the service's unit leaves of it."""

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def memory_bytes() -> int:
    """The machine's memory, or the least that a control group above this process allows."""
    return min([_physical_bytes(), *_limits_bytes(_own_group(_OWN_GROUP), _CGROUPS)])


def _physical_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _own_group(file: Path) -> Path:
    """The path of this process's control group (version 2) below their root; the root itself if there is none."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return Path()
    return next((Path(line.removeprefix("0::/")) for line in lines if line.startswith("0::/")), Path())


def _limits_bytes(group: Path, root: Path) -> Iterator[int]:
    for folder in (group, *group.parents):
        try:
            text = (root / folder / "memory.max").read_text().strip()
        except OSError:  # the root has none, and from within a container the rest may not be seen
            continue
        if text.isdigit():
            yield int(text)
