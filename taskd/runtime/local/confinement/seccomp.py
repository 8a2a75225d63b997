"""Seccomp: the system calls that no function has a use for and that reach beyond a sandbox.

The filter is a program of classic BPF that the kernel runs before each call; the kernel remembers which calls it
always lets pass, so those cost nothing. Calls are refused with EPERM, so that libraries which probe for them go on.
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Iterator

from taskd.runtime.local.confinement import kernel

_SECCOMP = 317
_SET_MODE_FILTER, _GET_ACTION_AVAILABLE = 1, 2
_FLAG_SPECULATION_ALLOWED = 1 << 2
"""Without it older kernels turn off a part of the processor's speculation, which slows interpreters down."""

_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Where they are in ``struct seccomp_data``; an argument has 8 bytes, the lower 4 first."""
_X86_64 = 0xC000003E
_X32 = 0x40000000

_NEW_NAMESPACES = 0x7E020000 | 0x80
_CLONE_SIGNAL = 0xFF
"""The lowest byte of the flags of ``clone`` is a signal, and one of a new time namespace for ``unshare`` alone."""

_REFUSED = {
    # other processes: tracing, memory, descriptors, placement
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "process_madvise": 440,
    "kcmp": 312,
    "pidfd_getfd": 438,
    "migrate_pages": 256,
    "move_pages": 279,
    # keys of the kernel, which belong to the user
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    # namespaces and mounts
    "setns": 308,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    # shared memory, semaphores and queues that have no path and outlive who made them
    "shmget": 29,
    "shmat": 30,
    "shmctl": 31,
    "semget": 64,
    "semop": 65,
    "semctl": 66,
    "semtimedop": 220,
    "msgget": 68,
    "msgsnd": 69,
    "msgrcv": 70,
    "msgctl": 71,
    "mq_open": 240,
    "mq_unlink": 241,
    # the kernel itself
    "kexec_load": 246,
    "kexec_file_load": 320,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "reboot": 169,
    "swapon": 167,
    "swapoff": 168,
    "acct": 163,
    "syslog": 103,
    "iopl": 172,
    "ioperm": 173,
    "quotactl": 179,
    "open_by_handle_at": 304,
    "settimeofday": 164,
    "clock_settime": 227,
    "clock_adjtime": 305,
    "sethostname": 170,
    "setdomainname": 171,
    "fanotify_init": 300,
    "lookup_dcookie": 212,
    # calls in a ring that no filter sees
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
}
_OWN_ONLY = {
    # call: (number, the arguments that must be 0): limits and priorities of the caller, and of nobody else
    "prlimit64": (302, (0,)),
    "sched_setaffinity": (203, (0,)),
    "sched_setscheduler": (144, (0,)),
    "sched_setparam": (142, (0,)),
    "sched_setattr": (314, (0,)),
    "setpriority": (141, (0, 1)),
    "ioprio_set": (251, (1,)),
}
_UNSHARE, _CLONE, _CLONE3 = 272, 56, 435
_SOCKET, _SEND_TO, _SEND_MESSAGE, _SEND_MESSAGES = 41, 44, 46, 307
_FAMILIES = (1, 2, 10, 16)
"""Of sockets: Unix, IPv4, IPv6, and what programs list network interfaces by."""
_MULTIPATH_TCP, _SCTP = 262, 132
"""Protocols with ports that Landlock's rules are not for; libraries then use TCP."""
_CONNECT_AND_SEND = 0x20000000
"""``MSG_FASTOPEN``: connects where Landlock may not look."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def is_available() -> bool:
    """Whether this machine's kernel filters, and this file knows the numbers of its calls."""
    if platform.machine() != "x86_64":
        return False
    action = ctypes.c_uint32(_REFUSE)
    try:
        kernel.syscall(_SECCOMP, _GET_ACTION_AVAILABLE, 0, ctypes.byref(action))
    except OSError:
        return False
    return True


IS_AVAILABLE = is_available()


def refuse_calls() -> None:
    """From now on this process, and all that come of it, are refused the calls above.

    :raises OSError: the kernel does not let it.
    """
    program = _Program(len(_INSTRUCTIONS) // 8, _INSTRUCTIONS)
    kernel.syscall(_SECCOMP, _SET_MODE_FILTER, _FLAG_SPECULATION_ALLOWED, ctypes.byref(program))


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, operand)


def _program() -> Iterator[bytes]:
    refuse = _instruction(_RETURN, _REFUSE | errno.EPERM)
    allow = _instruction(_RETURN, _ALLOW)
    yield _instruction(_LOAD_WORD, _ARCHITECTURE)
    yield _instruction(_JUMP_EQUAL, _X86_64, 1, 0)
    yield refuse  # calls of the 32-bit kind have other numbers
    yield _instruction(_LOAD_WORD, _NUMBER)
    yield _instruction(_JUMP_AT_LEAST, _X32, 0, 1)
    yield refuse
    socket = list(_socket())
    yield from (_instruction(_JUMP_EQUAL, _SOCKET, 0, len(socket)), *socket)
    for number, flags in ((_SEND_TO, 3), (_SEND_MESSAGE, 2), (_SEND_MESSAGES, 3)):
        yield from _no_flags(number, _CONNECT_AND_SEND, flags, errno.EOPNOTSUPP)
    for number in _REFUSED.values():
        yield from (_instruction(_JUMP_EQUAL, number, 0, 1), refuse)
    for number, arguments in _OWN_ONLY.values():
        yield from (_instruction(_JUMP_EQUAL, number, 0, 3 * len(arguments) + 1), *_own_only(arguments), allow)
    # the program cannot look at what clone3 points to; told that there is none, libraries call clone
    yield from (_instruction(_JUMP_EQUAL, _CLONE3, 0, 1), _instruction(_RETURN, _REFUSE | errno.ENOSYS))
    yield from _no_flags(_CLONE, _NEW_NAMESPACES & ~_CLONE_SIGNAL)
    yield from _no_flags(_UNSHARE, _NEW_NAMESPACES)
    yield allow


def _own_only(arguments: tuple[int, ...]) -> Iterator[bytes]:
    for argument in arguments:
        yield _instruction(_LOAD_WORD, _ARGUMENTS + 8 * argument)
        yield _instruction(_JUMP_EQUAL, 0, 1, 0)
        yield _instruction(_RETURN, _REFUSE | errno.EPERM)


def _socket() -> Iterator[bytes]:
    """Of a family above, and of no protocol above."""
    yield _instruction(_LOAD_WORD, _ARGUMENTS)
    for left, family in zip(range(len(_FAMILIES), 0, -1), _FAMILIES, strict=True):
        yield _instruction(_JUMP_EQUAL, family, left, 0)
    yield _instruction(_RETURN, _REFUSE | errno.EAFNOSUPPORT)
    yield _instruction(_LOAD_WORD, _ARGUMENTS + 8 * 2)
    for protocol in (_MULTIPATH_TCP, _SCTP):
        yield _instruction(_JUMP_EQUAL, protocol, 0, 1)
        yield _instruction(_RETURN, _REFUSE | errno.EPROTONOSUPPORT)
    yield _instruction(_RETURN, _ALLOW)


def _no_flags(number: int, flags: int, argument: int = 0, error: int = errno.EPERM) -> Iterator[bytes]:
    yield _instruction(_JUMP_EQUAL, number, 0, 4)
    yield _instruction(_LOAD_WORD, _ARGUMENTS + 8 * argument)
    yield _instruction(_JUMP_ANY_BIT, flags, 0, 1)
    yield _instruction(_RETURN, _REFUSE | error)
    yield _instruction(_RETURN, _ALLOW)


_INSTRUCTIONS = b"".join(_program())
