"""A view of the file system of a sandbox's own: all of it read-only, its scratch directory in the place of ``/tmp``.

Landlock says what may be opened, and this keeps also the modes, owners and times of files, and what can be reached
without opening it, from being changed. Needs a mount namespace, which not every machine lets a user have.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from taskd.runtime.local.confinement import kernel

TMP = "/tmp"  # noqa: S108 - functions made for Lambda write there
_MOUNT_SETATTR = 442
_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_BIND, _RECURSIVE, _SLAVE = 4096, 16384, 1 << 19
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY = 1


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def isolate(scratch: str, writable: Iterable[str], readable: Iterable[str]) -> None:
    """Gives this process such a view; what is ``readable`` stays where it is, also those below ``/tmp``.

    :raises OSError: the machine does not let it; what is done of it by then only takes away.
    """
    _enter_namespace()
    _mount(None, "/", _RECURSIVE | _SLAVE)
    kept = sorted({path for path in (*writable, *readable) if path.startswith(f"{TMP}/")})  # parents come first
    with _held(kept) as descriptors:
        _mount(scratch, TMP, _BIND)
        for path, descriptor in zip(kept, descriptors, strict=True):
            _make_target(path, descriptor)
            _mount(f"/proc/self/fd/{descriptor}", path, _BIND | _RECURSIVE)
    for path in set(writable).difference(kept):
        _mount(path, path, _BIND | _RECURSIVE)
    _set("/", _AT_RECURSIVE, _Attributes(set=_READ_ONLY))
    for path in (TMP, *writable):
        _set(path, 0, _Attributes(clear=_READ_ONLY))


def _enter_namespace() -> None:
    try:
        kernel.call("unshare", _NEW_MOUNTS)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        user, group = os.geteuid(), os.getegid()
        kernel.call("unshare", _NEW_MOUNTS | _NEW_USERS)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


@contextmanager
def _held(paths: list[str]) -> Iterator[list[int]]:
    """Descriptors that lead to ``paths`` when their names no longer do."""
    descriptors: list[int] = []
    try:
        descriptors.extend(os.open(path, os.O_PATH) for path in paths)
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _make_target(path: str, descriptor: int) -> None:
    """Makes what the directory, or the file, can be mounted on."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.makedirs(path, exist_ok=True)  # noqa: PTH103 - pathlib takes longer to import than all of this
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))


def _mount(source: str | None, target: str, flags: int) -> None:
    kernel.call("mount", _text(source), _text(target), None, flags, None)


def _set(path: str, flags: int, attributes: _Attributes) -> None:
    kernel.syscall(_MOUNT_SETATTR, _AT_FDCWD, _text(path), flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def _text(path: str | None) -> ctypes.c_char_p | None:
    return None if path is None else ctypes.c_char_p(os.fsencode(path))
