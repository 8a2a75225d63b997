"""Secrets in files: written whole and durably or not at all, readable by their owner alone, edited by one at a time."""

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from taskd.model.errors import TaskdError
from taskd.system.files import SyncFailedError, give_to_owner, make_directory, open_private, sync_directory

_LOOK_AGAIN_S = 0.01
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SecretFileError(TaskdError):
    """A file with secrets cannot be used; the message names it and says what to do."""


def read_secret(path: Path) -> str | None:
    """The text of ``path``; ``None`` if it is not there.

    :raises SecretFileError: it cannot be read, is no text, or others than its owner may read or change it.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise SecretFileError(f"{path} is no file: remove what stands there.")
            content = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretFileError(f"{path} cannot be read: {error.strerror}.") from error
    if mode & _OTHERS:
        raise SecretFileError(f"{path} holds secrets and is open to others; run: chmod 600 {path}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise SecretFileError(f"{path} is not UTF-8: {error}.") from error


def write_secret(path: Path, text: str) -> None:
    """Replaces ``path`` by ``text``, in one step and durably, with mode 0600.

    What root writes belongs to the owner of the folder, who is the one that reads it.
    """
    try:
        make_directory(path.parent)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            _fill(fd, text, path.parent)
            Path(name).rename(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except (OSError, SyncFailedError) as error:
        raise SecretFileError(f"{path} cannot be written: {error.strerror}.") from error


@contextlib.contextmanager
def locked(path: Path, patience_s: float | None = None) -> Iterator[None]:
    """Keeps others that edit ``path`` waiting meanwhile; waits for them itself, for ``patience_s`` or without end."""
    lock = path.with_name(path.name + ".lock")
    try:
        make_directory(path.parent)
        fd = open_private(lock, os.O_RDWR)
    except (OSError, SyncFailedError) as error:
        raise SecretFileError(f"{lock} cannot be opened: {error.strerror}.") from error
    try:
        _wait_for(fd, lock, patience_s)
        yield
    finally:
        os.close(fd)


def _wait_for(fd: int, lock: Path, patience_s: float | None) -> None:
    if patience_s is None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise SecretFileError(f"{lock} has been held by another process for {patience_s:g} s.") from None
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


def _without_waiting(path: str, flags: int) -> int:
    """A pipe that nobody writes to would be waited for, and a terminal read from."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _fill(fd: int, text: str, folder: Path) -> None:
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        give_to_owner(fd, folder)
        file.write(text)
        file.flush()
        os.fsync(fd)
