"""A file system of a sandbox's own: what it may use, where it always is, read-only; and an empty ``/tmp`` of its own.

Landlock says what may be opened. This hides what Landlock has no word for: the names of all other files, their modes,
owners and times, and the sockets that other programs listen on. ``/tmp`` is memory, as much as a sandbox may have and
no more, and goes with the sandbox. Needs a mount namespace, which not every machine lets a user have.
"""

import ctypes
import errno
import os
import platform
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypedDict

from taskd.runtime.local.confinement import kernel

TMP = "/tmp"  # noqa: S108 - functions made for Lambda write there
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""All that a sandbox is shown of these."""
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_NEW_MOUNTS, _NEW_USERS, _NEW_PROCESSES = 0x00020000, 0x10000000, 0x20000000
_BIND, _RECURSIVE, _SLAVE = 4096, 16384, 1 << 19
_NO_SET_USER_ID, _NO_DEVICES = 2, 4
_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY = 1
_TREE_OPTIONS = "size=4m,nr_inodes=16k,mode=755"
"""Of what holds the directories that lead to what is shown; nothing is written there."""
_INODES_OF_A_MIB = 128
"""A file takes memory of the kernel's beside its own, about 1 KiB."""


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


class Tree(TypedDict):
    """What a sandbox sees, by real paths, parents first."""

    shown: list[str]
    """Files and directories, with all that is beneath."""
    writable: list[str]
    """Those that it may change, too."""
    links: list[tuple[str, str]]
    """Symbolic links that lead there, and what they say."""
    tmp_mib: int
    """How much fits into ``/tmp``."""


def enter_namespaces(*, own_processes: bool) -> None:
    """Gives this process mounts of its own; its children also processes of their own, if it is to be so.

    :raises OSError: the machine does not let it.
    """
    wanted = _NEW_MOUNTS | (_NEW_PROCESSES if own_processes else 0)
    user, group = os.geteuid(), os.getegid()
    if user == 0 and _may_unshare(wanted):
        return
    kernel.call("unshare", wanted | _NEW_USERS)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def _may_unshare(what: int) -> bool:
    """Unshares; ``False`` for root without the capability."""
    try:
        kernel.call("unshare", what)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        return False
    return True


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def show_only(tree: Tree) -> None:
    """Gives this process, which has mounts of its own, ``tree`` as its file system. What is not there is left out.

    :raises OSError: the machine does not let it.
    """
    _mount(None, "/", None, _RECURSIVE | _SLAVE)
    with _held(tree["shown"]) as shown, _held(tree["writable"]) as writable:
        root = TMP  # any directory will do to build it on, and this one is not seen any more
        _mount("tmpfs", root, "tmpfs", _NO_SET_USER_ID | _NO_DEVICES, _TREE_OPTIONS)
        os.mkdir(root + TMP)  # noqa: PTH102 - pathlib takes longer to import than all of this
        inodes = tree["tmp_mib"] * _INODES_OF_A_MIB
        options = f"size={tree['tmp_mib']}m,nr_inodes={inodes},mode=700"
        _mount("tmpfs", root + TMP, "tmpfs", _NO_SET_USER_ID | _NO_DEVICES, options)
        _bind(root, shown)
        _make_links(root, tree["links"])
        for path, descriptor in writable:
            _make_target(root + path, descriptor)
        _set(root, _AT_RECURSIVE, _Attributes(set=_READ_ONLY))
        _set(root + TMP, 0, _Attributes(clear=_READ_ONLY))
        _bind(root, writable)
    _change_root(root)


@contextmanager
def _held(paths: Iterable[str]) -> Iterator[list[tuple[str, int]]]:
    """The paths that are there, with descriptors that lead to them when their names no longer do."""
    held: list[tuple[str, int]] = []
    try:
        for path in paths:
            with suppress(FileNotFoundError, PermissionError, NotADirectoryError):
                held.append((path, os.open(path, os.O_PATH)))
        yield held
    finally:
        for _, descriptor in held:
            os.close(descriptor)


def _bind(root: str, held: list[tuple[str, int]]) -> None:
    for path, descriptor in held:
        _make_target(root + path, descriptor)
        _mount(f"/proc/self/fd/{descriptor}", root + path, None, _BIND | _RECURSIVE)


def _make_target(path: str, descriptor: int) -> None:
    """Makes what the directory, or the file, can be mounted on, unless it is seen there already."""
    if os.path.lexists(path):
        return
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.makedirs(path, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))


def _make_links(root: str, links: Iterable[tuple[str, str]]) -> None:
    for path, target in links:
        if not os.path.lexists(root + path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)  # noqa: PTH103, PTH120
            os.symlink(target, root + path)  # noqa: PTH211


def _change_root(root: str) -> None:
    """The old one is put over the new one, and taken off: then nothing leads there."""
    os.chdir(root)
    here = ctypes.c_char_p(b".")
    kernel.syscall(_PIVOT_ROOT[platform.machine()], here, here)
    kernel.call("umount2", here, _DETACH)
    os.chdir("/")


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    kernel.call("mount", _text(source), _text(target), _text(kind), flags, _text(options))


def _set(path: str, flags: int, attributes: _Attributes) -> None:
    kernel.syscall(_MOUNT_SETATTR, _AT_FDCWD, _text(path), flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def _text(path: str | None) -> ctypes.c_char_p | None:
    return None if path is None else ctypes.c_char_p(os.fsencode(path))
