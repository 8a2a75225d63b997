"""Where and with what a benchmark ran, for its results."""

import os
import platform
import sqlite3
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

OUR_DISTRIBUTIONS = ("taskd", "aiohttp", "msgspec", "orjson", "uvloop")


def description() -> dict[str, str]:
    """The machine: processor, cores, memory, kernel."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory_gib:.1f} GiB",
        "kernel": platform.release(),
    }


def versions(distributions: Iterable[str] = ()) -> dict[str, str]:
    """The interpreter, SQLite, and the packages that are ours or named here; those that are not installed say so."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    return found | {name: version(name) or "not installed" for name in (*OUR_DISTRIBUTIONS, *distributions)}


def version(distribution: str) -> str | None:
    """The installed version of a Python package, if it is installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
