"""System calls that fail once, in the middle of whatever is going on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CALLS = ("open", "pwrite", "ftruncate", "fsync", "fdatasync", "rename", "unlink", "mkdir", "posix_fallocate")


class FailingCalls:
    """Counts the calls that change files below ``root``, and has one of them fail."""

    def __init__(self, root: Path, fail_at: int | None = None, code: int = 0) -> None:
        self.count = 0
        self.failed: str | None = None
        """The call that failed, once one has."""
        self._root = root
        self._fail_at = fail_at
        self._code = code
        self._fds: set[int] = set()

    @contextmanager
    def active(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._counted(name, getattr(os, name)))
            yield

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(subject: Any, *args: Any, **options: Any) -> Any:
            if not self._is_ours(subject):
                return real(subject, *args, **options)
            self.count += 1
            if self.count - 1 == self._fail_at:
                self.failed = name
                if name == "pwrite":  # half of it arrives first
                    real(subject, bytes(args[0])[: len(args[0]) // 2], args[1])
                raise OSError(self._code, os.strerror(self._code))
            result = real(subject, *args, **options)
            if name == "open":
                self._fds.add(result)
            return result

        return call

    def _is_ours(self, subject: Any) -> bool:
        return subject in self._fds if isinstance(subject, int) else Path(subject).is_relative_to(self._root)
