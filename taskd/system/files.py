"""Files that are durable and their owner's alone: each of these happened for certain when it returns, or raises."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from taskd.model.errors import TaskdError


class SyncFailedError(TaskdError):
    """The kernel could not make something durable, and may have dropped it: the process must not go on.

    No ``OSError``, nor a :class:`StoreError`: whoever goes on after those must not go on after this.
    """

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be synced to the disk ({error.strerror}), so what is on the disk is not known any more. "
            f"A restart reads it back. Look at the disk's health before you trust it again."
        )
        self.errno = error.errno
        self.strerror = error.strerror


def make_directory(directory: Path) -> None:
    """Makes sure that ``directory`` is there, and that its name would survive a power cut.

    Also when it is there already: a process that was killed may have made it and never synced it.
    """
    if not directory.parent.exists():
        make_directory(directory.parent)
    _make_private(directory)
    with suppress(PermissionError):  # a directory we may not read was not made by us
        sync_directory(directory.parent)


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(0o700)
    except FileExistsError:
        if not directory.is_dir():
            raise
        return
    with _opened(directory) as fd:
        give_to_owner(fd, directory.parent)


def open_private(path: Path, flags: int) -> int:
    """Opens a file with ``flags``, made if it is not there, which its owner alone may read and write.

    :raises OSError: it cannot be opened, or is a symbolic link, which somebody else may have put there.
    """
    fd = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        give_to_owner(fd, path.parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def give_to_owner(fd: int, folder: Path) -> None:
    """What root makes belongs to the owner of the folder, who is the one that opens it next.

    A file of root's that has several names was not made here.
    """
    if os.geteuid() != 0:
        return
    owner, opened = folder.stat(), os.fstat(fd)
    is_ours = opened.st_uid == 0 and (opened.st_nlink == 1 or stat.S_ISDIR(opened.st_mode))
    if is_ours and owner.st_uid != 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def sync_directory(directory: Path) -> None:
    """Makes the names in ``directory`` durable.

    :raises OSError: when it cannot be opened.
    :raises SyncFailedError: when it cannot be synced.
    """
    with _opened(directory) as fd:
        _sync_names(directory, fd)


def publish(temporary: Path, final: Path) -> None:
    """Renames a finished, synced file to its final name, durably and in one step.

    :raises OSError: and nothing has changed.
    :raises SyncFailedError: and either name may be there after a power cut.
    """
    with _opened(final.parent) as fd:  # before the renaming: from there on there is no way back
        temporary.rename(final)
        _sync_names(final.parent, fd)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _sync_names(directory: Path, fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        raise SyncFailedError(directory, error) from error
