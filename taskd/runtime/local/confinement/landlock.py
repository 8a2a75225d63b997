"""Landlock: which files a process and all that come of it may use, and whom they may send signals.

What is not allowed by a rule is denied. Nothing takes that back, and no process of a domain can trace, or read
``/proc`` secrets of, one that is outside it. Sizes and numbers are those of ``linux/landlock.h``.
"""

import ctypes
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from taskd.runtime.local.confinement import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_QUERY_VERSION = 1
_RULE_PATH_BENEATH, _RULE_PORT = 1, 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1 << 0, 1 << 1
_ALL_OF_ABI_1 = (1 << 13) - 1
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
"""All that can be allowed of what is no directory."""
ABI_TRUNCATE = 3
"""From this version on files that may not be written may not be shortened either."""
ABI_PORTS = 4
"""From this version on TCP ports can be denied."""
ABI_SCOPE = 6
"""From this version on signals and abstract sockets can be kept within."""

READ = _EXECUTE | _READ_FILE | _READ_DIR
DEVICE = _READ_FILE | _WRITE_FILE
WRITE = _ALL_OF_ABI_1 & ~(_MAKE_CHAR | _MAKE_BLOCK) | _REFER | _TRUNCATE


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _Port(ctypes.Structure):
    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


class Ports(NamedTuple):
    """TCP ports that may be used; ``None`` for all. Listening on 0 is listening where the kernel chooses."""

    listen: list[int] | None
    connect: list[int] | None


def abi() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    try:
        return kernel.syscall(_CREATE_RULESET, 0, 0, _QUERY_VERSION)
    except OSError:
        return 0


ABI = abi()


def scope_signals() -> None:
    """From now on this process, and all that come of it, can send signals to nobody else.

    :raises OSError: the kernel has no such thing, or does not let it.
    """
    with _ruleset(_RulesetAttributes(scoped=_SCOPE_SIGNAL), ABI):
        pass


def restrict(rules: Iterable[tuple[str, int]], ports: Ports, version: int) -> None:
    """From now on this process has the accesses of ``rules`` (a path and what is allowed beneath it), and no more.

    A path that is not there is left out. ``version`` is the ABI that is used, at most the kernel's.

    :raises OSError: the kernel does not let it.
    """
    attributes = _RulesetAttributes(
        handled_access_fs=_handled(version),
        handled_access_net=_handled_ports(ports),
        scoped=_SCOPE_SIGNAL | _SCOPE_ABSTRACT_UNIX_SOCKET,
    )
    with _ruleset(attributes, version) as ruleset:
        for path, access in rules:
            with suppress(FileNotFoundError, PermissionError, NotADirectoryError):
                _allow(ruleset, path, access & attributes.handled_access_fs)
        if version >= ABI_PORTS:
            _allow_ports(ruleset, ports.listen, _BIND_TCP)
            _allow_ports(ruleset, ports.connect, _CONNECT_TCP)


def _handled(version: int) -> int:
    return _ALL_OF_ABI_1 | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= ABI_TRUNCATE else 0)


def _handled_ports(ports: Ports) -> int:
    return (0 if ports.listen is None else _BIND_TCP) | (0 if ports.connect is None else _CONNECT_TCP)


def _size(version: int) -> int:
    """Older kernels take a shorter structure."""
    words = 3 if version >= ABI_SCOPE else 2 if version >= ABI_PORTS else 1
    return words * ctypes.sizeof(ctypes.c_uint64)


@contextmanager
def _ruleset(attributes: _RulesetAttributes, version: int) -> Iterator[int]:
    """A set of rules, put into force at the end of the block."""
    ruleset = kernel.syscall(_CREATE_RULESET, ctypes.byref(attributes), _size(version), 0)
    try:
        yield ruleset
        kernel.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    beneath = os.open(path, os.O_PATH)
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            access &= _OF_FILES
        rule = _PathBeneath(access, beneath)
        kernel.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(beneath)


def _allow_ports(ruleset: int, ports: list[int] | None, access: int) -> None:
    for port in ports or ():
        kernel.syscall(_ADD_RULE, ruleset, _RULE_PORT, ctypes.byref(_Port(access, port)), 0)
