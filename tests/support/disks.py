"""A recorded disk: every write, sync and rename below a directory, and what a power cut could have left of them.

The model is POSIX at its least generous. A file's writes are safe once the *file* was synced; until then each may be
there, be missing, or be torn at any sector, in any order. A name is safe once its *directory* was synced; until then
each creation, rename and removal may have happened or not. A rename is one step.
"""

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Operation = tuple[Any, ...]
Image = dict[str, bytes | None]
"""A disk's content: files by their path below the root; directories have ``None``."""


class Killed(BaseException):
    """The process is no more; not an ``Exception``, so that no handler of errors lives on after it."""


class Disk:
    """Records what is done to the files below ``root``. What is there at the beginning counts as safe."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.trace: list[Operation] = []
        self.kill_at: int | None = None
        """The process dies instead of doing the operation of this number."""
        self.short_writes = False
        self.base: Image = image_of(root)
        self._rng = rng
        self._files: dict[int, int] = {}
        self._directories: dict[int, str] = {}
        self._nodes: dict[str, int] = {}
        self._next_node = 0
        for name, content in self.base.items():
            if content is not None:
                self._name_node(name)

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
            raise Killed
        self.trace.append(operation)

    def _below(self, path: Any) -> str | None:
        path = Path(path)
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else None

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
        if name is not None and flags & os.O_DIRECTORY:
            self._directories[fd] = name
        elif name is not None:
            self._files[fd] = self._nodes[name]
        return fd

    def _close(self, real: Callable[[int], None], fd: int) -> None:
        self._files.pop(fd, None)
        self._directories.pop(fd, None)
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
        if fd in self._directories:
            self._do("syncdir", self._directories[fd])
        elif fd in self._files:
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
            self._do("mkdir", name)


class Platter:
    """What is on the disk for certain, and what is on its way there, after each operation of a trace."""

    def __init__(self, base: Image) -> None:
        self._safe: dict[int, bytes] = {}
        self._pending: dict[int, list[Operation]] = {}
        self._names: dict[str, int | None] = {}
        self._renamings: dict[str, list[Operation]] = {}
        for name, content in base.items():
            self._names[name] = None if content is None else len(self._safe)
            if content is not None:
                self._safe[len(self._safe)] = content

    def advance(self, operation: Operation) -> None:
        """Takes in the next operation."""
        kind = operation[0]
        if kind in ("write", "truncate"):
            self._pending.setdefault(operation[1], []).append(operation)
        elif kind == "sync":
            node = operation[1]
            self._safe[node] = apply_to_file(self._safe.get(node, b""), self._pending.pop(node, []))
        elif kind == "syncdir":
            for change in self._renamings.pop(operation[1], []):
                apply_to_names(self._names, change)
        elif kind != "mark":
            self._renamings.setdefault(str(Path(operation[1]).parent), []).append(operation)

    def after_power_cut(self, rng: random.Random) -> Image:
        """One of the contents that a power cut at this moment may leave."""
        mood = rng.choice(["nothing", "everything", "anything", "anything"])
        names = dict(self._names)
        for changes in self._renamings.values():
            for change in changes:
                if mood == "everything" or (mood == "anything" and rng.random() < 0.5):
                    apply_to_names(names, change)
        image: Image = {}
        for name in sorted(names):
            if all(names.get(str(parent), 0) is None for parent in list(Path(name).parents)[:-1]):
                node = names[name]
                image[name] = None if node is None else self._content(node, mood, rng)
        return image

    def _content(self, node: int, mood: str, rng: random.Random) -> bytes:
        pending = list(self._pending.get(node, []))
        if mood == "nothing":
            pending = []
        elif mood == "anything":
            pending = [part for operation in pending for part in _torn(operation, rng)]
            if rng.random() < 0.3:
                rng.shuffle(pending)
        return apply_to_file(self._safe.get(node, b""), pending)


def _torn(operation: Operation, rng: random.Random) -> Iterator[Operation]:
    """The parts of an unsynced operation that reach the disk: all, none, or some sectors of a write."""
    fate = rng.choice(["kept", "lost", "torn"])
    if fate == "kept" or (fate == "torn" and operation[0] == "truncate"):
        yield operation
    elif fate == "torn":
        _, node, offset, data = operation
        sector = rng.choice([16, 64, 512])
        begin = 0
        while begin < len(data):
            end = min(len(data), begin + sector - (offset + begin) % sector)
            if rng.random() < 0.5:
                yield ("write", node, offset + begin, data[begin:end])
            begin = end


def apply_to_file(content: bytes, operations: list[Operation]) -> bytes:
    """``content`` after writes and truncations; gaps are zeros."""
    data = bytearray(content)
    for kind, _, place, *rest in operations:
        if kind == "truncate":
            data = data[:place] + bytes(max(0, place - len(data)))
        else:
            data += bytes(max(0, place - len(data)))
            data[place : place + len(rest[0])] = rest[0]
    return bytes(data)


def apply_to_names(names: dict[str, int | None], change: Operation) -> None:
    """One change of a directory; one whose source never became real has no effect."""
    kind, name, *rest = change
    if kind == "create":
        names[name] = rest[0]
    elif kind == "mkdir":
        names[name] = None
    elif kind == "unlink":
        names.pop(name, None)
    elif kind == "rename" and name in names:
        names[rest[0]] = names.pop(name)


def image_of(root: Path) -> Image:
    """What is below ``root`` now."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in sorted(root.rglob("*"))
    }


def lay_out(image: Image, root: Path) -> None:
    """Makes the directory ``root`` hold ``image``."""
    for name, content in image.items():
        if content is None:
            (root / name).mkdir(exist_ok=True)
        else:
            (root / name).write_bytes(content)
