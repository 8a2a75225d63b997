"""The disk of real processes, recorded at the boundary to libc by ``recorder.c``, to cut the power at any moment.

The recorder is compiled once for each version of its source, into the directory for temporary files.
"""

import hashlib
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.power_cut.disk_model import ROOT, DiskModel, Image, Operation, read_image, write_image

SOURCE = Path(__file__).with_name("recorder.c")
KINDS = ("create", "mkdir", "unlink", "rename", "write", "truncate", "extend", "syncing", "synced", "unsupported")
"""As ``recorder.c`` numbers them, from 1."""
_HEADER = struct.Struct("=qIIIIQq")


KILL_SIGNAL = signal.SIGUSR2
"""What ends a recorded process at once, as SIGKILL does, with everything recorded that it did."""


class TimedOperation(NamedTuple):
    """An operation and when it was done, by the clock of ``time.monotonic_ns``."""

    time_ns: int
    operation: Operation


class RecordedDisk:
    """What processes started with :attr:`environment` do to files below ``root``; what is there before is durable."""

    def __init__(self, root: Path, traces: Path) -> None:
        """``traces`` is a directory outside of ``root``."""
        self.root = root.resolve()
        self._traces = traces
        traces.mkdir(exist_ok=True)
        self._begin()

    def _begin(self) -> None:
        self._base = read_image(self.root)
        self._keys = {name: (self.root / name).stat().st_ino for name in (ROOT, *self._base)}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make a process record itself."""
        return {
            "LD_PRELOAD": str(recorder()),
            "TASKD_RECORD_ROOT": str(self.root),
            "TASKD_RECORD_TRACE": str(self._traces / "trace"),
        }

    def initial_model(self) -> DiskModel:
        """The disk before anything was done to it."""
        return DiskModel(self._base, self._keys)

    def current_model(self) -> DiskModel:
        """The disk after all that was done so far."""
        model = self.initial_model()
        for timed in self.operations():
            model.advance(timed.operation)
        return model

    def cut_power(self, rng: random.Random) -> None:
        """Leaves below the root what a power cut now may leave, and begins anew; the recorded processes are gone."""
        image = self.current_model().image_after_power_cut(rng)
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_image(image, self.root)
        for trace in self._traces.iterdir():
            trace.unlink()
        self._begin()

    def operations(self) -> list[TimedOperation]:
        """All that was done so far, by whichever process, in the order of time."""
        traces = [path.read_bytes() for path in sorted(self._traces.iterdir())]
        return sorted((timed for trace in traces for timed in _read(trace)), key=lambda timed: timed.time_ns)


def _read(trace: bytes) -> Iterator[TimedOperation]:
    """The records of one process; the last may be cut off, because the process was killed before it had done it."""
    at = 0
    while at + _HEADER.size <= len(trace):
        time_ns, kind, *sizes, node, value = _HEADER.unpack_from(trace, at)
        at += _HEADER.size
        parts = []
        for size in sizes:
            parts.append(trace[at : at + size])
            at += size
        if at <= len(trace):
            yield TimedOperation(time_ns, _operation(KINDS[kind - 1], parts, node, value))


def _operation(kind: str, parts: list[bytes], node: int, value: int) -> Operation:
    first, second, data = parts[0].decode(), parts[1].decode(), parts[2]
    assert kind != "unsupported", f"something was done that the recorder does not know how to record: {first}"
    if kind in ("create", "mkdir"):
        return kind, first, node
    if kind in ("unlink", "rename"):
        return (kind, first, second) if second else (kind, first)
    return (kind, node, value, data) if kind == "write" else (kind, node, value)


def recorder() -> Path:
    """The compiled recorder."""
    version = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"taskd-recorder-{os.getuid()}-{version}.so"
    if not library.exists() or library.stat().st_uid != os.getuid():  # nobody else's is to be preloaded
        _compile(library)
    return library


def _compile(library: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed to cut the power: apt-get install gcc libc6-dev"
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        fresh = Path(folder) / library.name
        options = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(SOURCE), "-ldl", "-pthread"]
        done = subprocess.run([compiler, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{SOURCE} was not compiled; is libc6-dev installed?\n{done.stderr}"
        fresh.rename(library)


def persistent_files(image: Image) -> Image:
    """The data directory in ``image``, without what is made anew at each start."""
    transient = ("data/functions/.work/", "data/catalogue.db-shm")
    return {
        name: content for name, content in image.items() if name.startswith("data") and not name.startswith(transient)
    }
