"""Removing a directory with all that is in it, whatever others have made of it.

``shutil.rmtree`` recurses before Python 3.13 and holds a descriptor for each level, so that directories a thousand deep
end in a ``RecursionError``; and it leaves behind what their owner has closed to himself. Here every directory that is
found is moved up to the top before it is emptied, so the depth takes neither frames nor descriptors.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(root: Path) -> None:
    """Removes ``root`` and all below it as far as that is possible; what is not there is no error. Follows no links."""
    with suppress(OSError), _opened(str(root)) as top:
        _empty(top)
        root.rmdir()


def _empty(top: int) -> None:
    """Removes all that is in the directory ``top``."""
    pending = list(_cleared(top, top))
    while pending:
        name = pending.pop()
        with suppress(OSError):
            with _opened(name, top) as directory:
                pending += _cleared(directory, top)
            os.rmdir(name, dir_fd=top)


def _cleared(directory: int, top: int) -> Iterator[str]:
    """Removes the files in ``directory``, moves the directories to ``top``, and gives their names there."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        with suppress(OSError):
            if not is_directory:
                os.unlink(name, dir_fd=directory)
            elif directory == top:
                yield name
            else:
                yield _moved_up(name, directory, top)


def _moved_up(name: str, directory: int, top: int) -> str:
    moved = secrets.token_hex(16)
    with _opened(name, directory):  # which gives us the rights that moving it takes
        os.rename(name, moved, src_dir_fd=directory, dst_dir_fd=top)
    return moved


@contextmanager
def _opened(name: str, parent: int | None = None) -> Iterator[int]:
    """A descriptor of a directory that may be read and changed, whatever mode it had."""
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:
        _allow(name, parent)
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        os.fchmod(descriptor, 0o700)
        yield descriptor
    finally:
        os.close(descriptor)


def _allow(name: str, parent: int | None) -> None:
    """Makes a directory readable that is not: by a descriptor, since a name could be made a link meanwhile."""
    descriptor = os.open(name, _DIRECTORY | os.O_PATH, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{descriptor}").chmod(0o700)
    finally:
        os.close(descriptor)
