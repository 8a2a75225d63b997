"""The directory of unpacked code: ``<root>/<function>/<version>/``, each version complete or absent.

It is a node's own. A version is the SHA-256 of its zip, so it is the same on every node, and a node that lacks one has
to fetch it before it can run it. One node lacks nothing but has the only copy, which is why a version is durable here
before its function is deployed. Knows nothing of processes or calls; whoever runs a version says when it is no longer
needed.
"""

import asyncio
import errno
import hashlib
import logging
import re
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from taskd.model.errors import UNAVAILABLE, ContractError, TaskdError
from taskd.model.function import Function
from taskd.runtime.local import archive
from taskd.system.files import SyncFailedError, sync_directory
from taskd.system.remove_tree import remove_tree

_log = logging.getLogger(__name__)

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
_DISK_FULL = "The disk has no room for the function's code: free some, then deploy the function again."
_NOT_REMOVED = "%s stays until the next start: %s"
_WORK = ".work"
"""Holds what is half unpacked or half removed, and the sandboxes' scratch directories: nothing that must be durable."""

_EMPTY_JSON = "{}\n"
_VERSION = re.compile(r"[0-9a-f]{64}")


class CodeDirectory:
    """The code of every function that is deployed on this node."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._pinned: set[Path] = set()
        self._removals: set[asyncio.Task[None]] = set()
        self._publishing = threading.Lock()

    @property
    def work(self) -> Path:
        """A directory for what need not outlive this run, on the same file system as the code."""
        return self._root / _WORK

    def path(self, name: str, version: str) -> Path:
        """Where a version is unpacked, if it is."""
        return self._root / name / version

    def has(self, name: str, version: str) -> bool:
        """Whether the version is there."""
        return _VERSION.fullmatch(version) is not None and self.path(name, version).is_dir()

    async def open(self, functions: Iterable[Function]) -> None:
        """Makes the directory ready and removes every version that none of ``functions`` is deployed with.

        :raises TaskdError: the disk does not let it.
        """
        wanted = {self.path(function.name, function.code_version) for function in functions}
        try:
            await asyncio.to_thread(self._sweep, wanted)
        except (OSError, SyncFailedError) as error:
            advice = "Look at its free space and its permissions."
            raise TaskdError(f"{self._root} cannot be used: {error}. {advice}") from error

    def _sweep(self, wanted: set[Path]) -> None:
        remove_tree(self.work)
        self.work.mkdir(parents=True, exist_ok=True)
        sync_directory(self._root.parent)  # or a power cut takes the root, and with it all code deployed since
        for function in self._root.iterdir():
            if function.is_dir() and function != self.work:
                _sweep_function(function, wanted)
        _end_package_search_at(self._root / "package.json")

    async def add(self, name: str, code: bytes) -> str:
        """Unpacks ``code`` durably and returns its version, which stays until :meth:`release`.

        :raises ContractError: ``INVALID_CODE``; ``UNAVAILABLE`` when the disk is full or fails. Then there is
            no trace of it.
        """
        version = await asyncio.to_thread(_version, code)
        path = self.path(name, version)
        self._pinned.add(path)
        try:
            await asyncio.to_thread(self._unpack, code, path)
        except ContractError:
            self._pinned.discard(path)
            raise
        except (OSError, SyncFailedError) as error:
            self._pinned.discard(path)
            raise unavailable(error) from error
        return version

    def _unpack(self, code: bytes, path: Path) -> None:
        with self._publishing:  # of the same code, by somebody else: it is durable only when that is done
            if path.is_dir():
                return
        fresh = Path(tempfile.mkdtemp(prefix="unpack-", dir=self.work))
        try:
            fresh.chmod(0o755)
            archive.unpack(code, fresh)
            with self._publishing:
                if not path.is_dir():  # the same code, unpacked by somebody else meanwhile, is as good
                    _publish(fresh, path)
        finally:
            remove_tree(fresh)

    def release(self, name: str, version: str) -> None:
        """A version made by :meth:`add` is deployed or given up: from now on :meth:`remove` may take it."""
        self._pinned.discard(self.path(name, version))

    def remove(self, path: Path) -> None:
        """Removes a version that nothing runs any more, unless it is about to be deployed."""
        if path in self._pinned or not _VERSION.fullmatch(path.name) or not path.is_dir():
            return
        try:
            trash = Path(tempfile.mkdtemp(prefix="trash-", dir=self.work))
        except OSError as error:
            _log.warning(_NOT_REMOVED, path, error.strerror)
            return
        try:
            path.rename(trash / path.name)
        except OSError as error:
            _log.warning(_NOT_REMOVED, path, error.strerror)
        self._remove_later(trash)

    def _remove_later(self, trash: Path) -> None:
        removal = asyncio.create_task(asyncio.to_thread(remove_tree, trash))
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    async def close(self) -> None:
        """Waits until what is being removed is gone."""
        await asyncio.gather(*self._removals)


def _version(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()


def unavailable(error: OSError | SyncFailedError) -> ContractError:
    """The error for the one who deploys when the disk, or a limit of this machine, does not let code be stored."""
    if error.errno in _FULL_ERRNOS:
        return ContractError(UNAVAILABLE, _DISK_FULL)
    message = f"The function's code cannot be kept now ({error.strerror}): look at this machine, then deploy it again."
    return ContractError(UNAVAILABLE, message)


def _publish(fresh: Path, path: Path) -> None:
    """Renames ``fresh`` to ``path`` durably; where that fails it is undone, so that nobody relies on it."""
    path.parent.mkdir(exist_ok=True)
    try:
        fresh.rename(path)
        sync_directory(path.parent)
        sync_directory(path.parent.parent)
    except (OSError, SyncFailedError):
        if path.is_dir():
            path.rename(fresh)
        with suppress(OSError):  # not empty: there are other versions
            path.parent.rmdir()
        raise


def _end_package_search_at(file: Path) -> None:
    """Node searches no further up than ``file`` for the package.json that says how to read a .js file.

    One that is there is left alone: a start must not need space on a full disk.
    """
    if not file.is_file() or file.read_text() != _EMPTY_JSON:
        file.write_text(_EMPTY_JSON)


def _sweep_function(function: Path, wanted: set[Path]) -> None:
    for version in function.iterdir():
        if version not in wanted:
            remove_tree(version)
    with suppress(OSError):  # not empty: a version in it is wanted
        function.rmdir()
