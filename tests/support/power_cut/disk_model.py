"""What is durable on a disk, what is pending, and what a power cut could leave of that.

The model is POSIX at its least generous. A file's writes are durable once the *file* was synced; until then each may be
there, be missing, or be torn at any sector, in any order. A name is durable once its *directory* was synced; until then
each creation, rename and removal may have happened or not. A rename is one step, which a sync of either directory
makes durable. Modes and times of files are not part of it.

Operations are tuples; ``key`` says which file or directory, and may be used again for a new one when the old is gone:
``("create"|"mkdir", name, key)``, ``("unlink", name)``, ``("rename", old, new)``, ``("write", key, offset, data)``,
``("truncate"|"extend", key, size)``, ``("sync", key)``, or in two steps ``("syncing", key, number)`` and
``("synced", key, number)``: what is done between these two is not durable by it. ``("mark", ...)`` changes nothing.
"""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

Operation = tuple[Any, ...]
Image = dict[str, bytes | None]
"""A disk's content: files by their path below the root; directories have ``None``."""
Place = tuple[int, str]
"""A directory's node, and a name in it."""
Tree = dict[int, dict[str, int]]
"""Nodes by name, for the node of each directory."""
ROOT = ""


class Change(NamedTuple):
    """A step that takes ``node`` from one place to another; one of the two is missing for a creation or a removal."""

    serial: int
    node: int
    old: Place | None
    new: Place | None

    def concerns(self, directory: int) -> bool:
        return any(place is not None and place[0] == directory for place in (self.old, self.new))

    def apply(self, tree: Tree) -> None:
        """Has no effect on a name that meanwhile means something else."""
        if self.old is not None and tree[self.old[0]].get(self.old[1]) == self.node:
            del tree[self.old[0]][self.old[1]]
        if self.new is not None:
            tree[self.new[0]][self.new[1]] = self.node


class DiskModel:
    """A disk that begins as ``base``, all of it durable; ``keys`` has the key of every path in it and of the root."""

    def __init__(self, base: Image, keys: dict[str, int]) -> None:
        self._nodes: dict[int, int] = {}
        self._serial = 0
        self._now: Tree = {}
        self._durable: Tree = {}
        self._changes: list[Change] = []
        self._contents: dict[int, bytes] = {}
        self._pending: dict[int, list[tuple[int, Operation]]] = {}
        self._syncing: dict[tuple[int, int], int] = {}
        self._root = self._new_node(keys[ROOT], is_directory=True)
        for name, content in sorted(base.items()):
            self._place(name, self._new_node(keys[name], is_directory=content is None))
            self._contents[self._nodes[keys[name]]] = content or b""
        self._commit(self._changes)

    def advance(self, operation: Operation) -> None:
        """Applies the next operation."""
        self._serial += 1
        kind = operation[0]
        if kind in ("create", "mkdir"):
            self._place(operation[1], self._new_node(operation[2], is_directory=kind == "mkdir"))
        elif kind in ("unlink", "rename"):
            self._move(*operation[1:])
        elif kind in ("write", "truncate", "extend"):
            node = self._nodes[operation[1]]
            self._pending.setdefault(node, []).append((self._serial, operation))
        elif kind == "sync":
            self._make_durable(self._nodes[operation[1]], self._serial)
        elif kind == "syncing":
            self._syncing[operation[1:]] = self._serial
        elif kind == "synced":
            self._make_durable(self._nodes[operation[1]], self._syncing.pop(operation[1:]))
        else:
            assert kind == "mark", f"{operation[:2]} is no operation"

    def current_image(self) -> Image:
        """What the running processes see: everything done."""
        return self._image(self._now, {node: _operations(pending) for node, pending in self._pending.items()})

    def durable_image(self) -> Image:
        """What a power cut leaves at least: nothing that was not synced."""
        return self._image(self._durable, {})

    def image_after_power_cut(self, rng: random.Random) -> Image:
        """One of the contents that a power cut at this moment may leave."""
        extent = rng.choice(["nothing", "everything", "anything", "anything"])
        if extent == "nothing":
            return self.durable_image()
        if extent == "everything":
            return self.current_image()
        tree = {directory: dict(names) for directory, names in self._durable.items()}
        for change in self._changes:
            if rng.random() < 0.5:
                change.apply(tree)
        pending = {node: _surviving_parts(of_node, rng) for node, of_node in sorted(self._pending.items())}
        return self._image(tree, pending)

    def _new_node(self, key: int, *, is_directory: bool) -> int:
        node = self._nodes[key] = len(self._contents)
        self._contents[node] = b""
        if is_directory:
            self._now[node], self._durable[node] = {}, {}
        return node

    def _find(self, name: str) -> Place:
        *parents, last = PurePosixPath(name).parts
        directory = self._root
        for part in parents:
            directory = self._now[directory][part]
        return directory, last

    def _place(self, name: str, node: int) -> None:
        self._change(node, None, self._find(name))

    def _move(self, name: str, target: str | None = None) -> None:
        place = self._find(name)
        self._change(self._now[place[0]][place[1]], place, None if target is None else self._find(target))

    def _change(self, node: int, old: Place | None, new: Place | None) -> None:
        change = Change(self._serial, node, old, new)
        change.apply(self._now)
        self._changes.append(change)

    def _make_durable(self, node: int, serial: int) -> None:
        """What was done to the file or directory up to ``serial`` can no longer be lost."""
        if node in self._now:
            self._commit([change for change in self._changes if change.serial <= serial and change.concerns(node)])
            return
        pending = self._pending.pop(node, [])
        done = [operation for at, operation in pending if at <= serial]
        self._contents[node] = apply_to_file(self._contents[node], done)
        self._pending[node] = pending[len(done) :]

    def _commit(self, changes: list[Change]) -> None:
        """Makes ``changes`` durable, and earlier ones of the same files: no rename is durable before a creation."""
        newest = {change.node: change.serial for change in changes}
        committed = [change for change in self._changes if change.serial <= newest.get(change.node, -1)]
        for change in committed:
            change.apply(self._durable)
        self._changes = [change for change in self._changes if change not in committed]

    def _image(self, tree: Tree, pending: dict[int, list[Operation]]) -> Image:
        image: Image = {}
        for name, node in _walk(tree, self._root, PurePosixPath()):
            content = self._contents[node]
            image[name] = None if node in tree else apply_to_file(content, pending.get(node, []))
        return image


def _walk(tree: Tree, directory: int, path: PurePosixPath) -> Iterator[tuple[str, int]]:
    for name, node in sorted(tree[directory].items()):
        yield str(path / name), node
        if node in tree:
            yield from _walk(tree, node, path / name)


def _operations(pending: Iterable[tuple[int, Operation]]) -> list[Operation]:
    return [operation for _, operation in pending]


def _surviving_parts(pending: list[tuple[int, Operation]], rng: random.Random) -> list[Operation]:
    parts = [part for operation in _operations(pending) for part in _torn(operation, rng)]
    if rng.random() < 0.3:
        rng.shuffle(parts)
    return parts


def _torn(operation: Operation, rng: random.Random) -> Iterator[Operation]:
    """The parts of an unsynced operation that reach the disk: all, none, or some sectors of a write."""
    outcome = rng.choice(["kept", "lost", "torn"])
    if outcome == "kept" or (outcome == "torn" and operation[0] != "write"):
        yield operation
    elif outcome == "torn":
        _, key, offset, data = operation
        sector = rng.choice([16, 64, 512])
        begin = 0
        while begin < len(data):
            end = min(len(data), begin + sector - (offset + begin) % sector)
            if rng.random() < 0.5:
                yield ("write", key, offset + begin, data[begin:end])
            begin = end


def apply_to_file(content: bytes, operations: Iterable[Operation]) -> bytes:
    """``content`` after writes and changes of length; gaps are zeros."""
    data = bytearray(content)
    for kind, _, place, *rest in operations:
        if kind == "truncate":
            del data[place:]
        data += bytes(max(0, place - len(data)))
        if kind == "write":
            data[place : place + len(rest[0])] = rest[0]
    return bytes(data)


def read_image(root: Path) -> Image:
    """What is below ``root`` now, without sockets, which hold nothing."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if not path.is_socket()
    }


def write_image(image: Image, root: Path) -> None:
    """Makes the directory ``root`` hold ``image``, for its owner alone."""
    for name, content in image.items():
        path = root / name
        if content is None:
            path.mkdir(mode=0o700, exist_ok=True)
        else:
            path.touch(mode=0o600)
            path.write_bytes(content)
