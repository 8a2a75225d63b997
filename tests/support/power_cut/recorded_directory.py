"""A recorded directory: every write, sync and rename that this process does below a directory, for ``disk_model``.

The process can be killed at any of them, and its writes to fall short.
"""

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.power_cut.disk_model import ROOT, Image, Operation, read_image


class ProcessKilled(BaseException):
    """The process was killed; not an ``Exception``, so that no handler of errors goes on after it."""


class RecordedDirectory:
    """Records what is done to the files below ``root``. What is there at the beginning counts as durable."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.trace: list[Operation] = []
        self.kill_at: int | None = None
        """The process is killed instead of doing the operation of this number."""
        self.short_writes = False
        self.base: Image = read_image(root)
        self._rng = rng
        self._files: dict[int, int] = {}
        self._nodes: dict[str, int] = {}
        self._next_node = 0
        for name in (ROOT, *self.base):
            self._name_node(name)
        self.base_keys = dict(self._nodes)
        """The keys that the trace has for what is in :attr:`base`."""

    def mark(self, *what: Any) -> None:
        """Notes something in the trace that is no operation of the disk's."""
        self.trace.append(("mark", *what))

    @contextmanager
    def recording(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Everything that ``os`` is asked to do to files meanwhile goes through here."""
        with monkeypatch.context() as patch:
            for name in ("open", "close", "pwrite", "ftruncate", "fsync", "fdatasync", "rename", "unlink", "mkdir"):
                patch.setattr(os, name, self._recorder(name, getattr(os, name)))
            yield

    def _recorder(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        handler = getattr(self, f"_{name}")
        return lambda *args, **options: handler(real, *args, **options)

    def _do(self, *operation: Any) -> None:
        if self.kill_at is not None and len(self.trace) >= self.kill_at:
            raise ProcessKilled
        self.trace.append(operation)

    def _below(self, path: Any) -> str | None:
        path = Path(path)
        if not path.is_relative_to(self.root):
            return None
        return ROOT if path == self.root else str(path.relative_to(self.root))

    def _name_node(self, name: str) -> int:
        self._nodes[name] = self._next_node
        self._next_node += 1
        return self._nodes[name]

    def _open(self, real: Callable[..., int], path: Any, flags: int, *args: Any, **options: Any) -> int:
        name = self._below(path)
        if name is not None and flags & os.O_CREAT and name not in self._nodes:
            self._do("create", name, self._next_node)
            self._name_node(name)
        elif name is not None and flags & os.O_TRUNC:
            self._do("truncate", self._nodes[name], 0)
        fd = real(path, flags, *args, **options)
        if name is not None:
            self._files[fd] = self._nodes[name]
        return fd

    def _close(self, real: Callable[[int], None], fd: int) -> None:
        self._files.pop(fd, None)
        real(fd)

    def _pwrite(self, real: Callable[..., int], fd: int, data: Any, offset: int) -> int:
        if self.short_writes and len(data) > 1 and self._rng.random() < 0.5:
            data = bytes(data)[: self._rng.randrange(1, len(data))]
        if fd in self._files:
            self._do("write", self._files[fd], offset, bytes(data))
        return real(fd, data, offset)

    def _ftruncate(self, real: Callable[..., None], fd: int, length: int) -> None:
        if fd in self._files:
            self._do("truncate", self._files[fd], length)
        real(fd, length)

    def _fsync(self, real: Callable[[int], None], fd: int) -> None:
        if fd in self._files:
            self._do("sync", self._files[fd])

    _fdatasync = _fsync

    def _rename(self, real: Callable[..., None], source: Any, target: Any, **options: Any) -> None:
        old, new = self._below(source), self._below(target)
        if old is not None and new is not None:
            self._do("rename", old, new)
            self._nodes[new] = self._nodes.pop(old)
        real(source, target, **options)

    def _unlink(self, real: Callable[..., None], path: Any, **options: Any) -> None:
        name = self._below(path)
        if name is not None:
            self._do("unlink", name)
            self._nodes.pop(name, None)
        real(path, **options)

    def _mkdir(self, real: Callable[..., None], path: Any, *args: Any, **options: Any) -> None:
        name = self._below(path)
        if Path(path).exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        real(path, *args, **options)
        if name is not None:
            self._do("mkdir", name, self._name_node(name))
