"""System calls that fail once, in the middle of whatever is going on."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CALLS = ("open", "pwrite", "ftruncate", "fsync", "fdatasync", "rename", "unlink", "mkdir", "posix_fallocate")
TREE_CALLS = ("open", "fsync", "rename", "unlink", "mkdir", "rmdir", "chmod", "fchmod", "symlink", "scandir")
"""What changes or walks a tree of directories, apart from the writing of its files."""


class FailingCalls:
    """Counts the calls that change files below ``root``, and has one of them fail.

    ``names`` are functions of ``os``; what is written through Python's own files counts too.
    """

    def __init__(self, root: Path, fail_at: int | None = None, code: int = 0, names: Sequence[str] = CALLS) -> None:
        self.count = 0
        self.failed: str | None = None
        """The call that failed, once one has."""
        self._root = root
        self._fail_at = fail_at
        self._code = code
        self._names = names
        self._fds: set[int] = set()

    @contextmanager
    def active(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name in self._names:
                patch.setattr(os, name, self._counted(name, getattr(os, name)))
            patch.setattr(io, "open", self._opener(io.open))
            yield

    def _opener(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def open_file(subject: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if mode != "wb" or not self._is_ours(subject):
                return real(subject, mode, *args, **options)
            self._step("open a file")
            return io.BufferedWriter(_CountedFile(subject, self._step))

        return open_file

    def _step(self, name: str) -> None:
        """One more call; raises if it is the one to fail."""
        self.count += 1
        if self.count - 1 == self._fail_at:
            self.failed = name
            raise OSError(self._code, os.strerror(self._code))

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(subject: Any, *args: Any, **options: Any) -> Any:
            if not self._is_ours(args[0] if name == "symlink" else subject, options.get("dir_fd")):
                return real(subject, *args, **options)
            if name == "pwrite" and self.count == self._fail_at:  # half of it arrives first
                real(subject, bytes(args[0])[: len(args[0]) // 2], args[1])
            self._step(name)
            result = real(subject, *args, **options)
            if name == "open":
                self._fds.add(result)
            return result

        return call

    def _is_ours(self, subject: Any, dir_fd: int | None = None) -> bool:
        if isinstance(subject, int):
            return subject in self._fds
        return dir_fd in self._fds or Path(subject).is_relative_to(self._root)


class _CountedFile(io.FileIO):
    """A file being written, each write of which may fail."""

    def __init__(self, path: Path, step: Callable[[str], None]) -> None:
        super().__init__(path, "wb")
        self._step = step

    def write(self, data: Any, /) -> int:
        self._step("write")
        return super().write(data)
