"""What is between systemd and the daemon: it is told how the daemon is doing, and may listen for it.

Telling goes over the datagram socket that it names in ``NOTIFY_SOCKET``, as sd_notify(3) says. Without that socket
every such call does nothing, and none ever raises: a service manager that does not listen is no reason to stop
working. A socket that it listens on for the daemon is passed as sd_listen_fds(3) says, and outlives the daemon: nobody
who connects during a restart is refused.
"""

import os
import socket
import time

from taskd.model.errors import TaskdError

_SEND_TIMEOUT_S = 1.0
"""systemd's queue is full only when systemd is stuck; the caller is not held up for longer than this."""
_FIRST_PASSED_FD = 3
_COUNT_MAX_CHARS = 10


class ActivationError(TaskdError):
    """What systemd passed cannot be listened on; the message says what to change."""


def ready() -> bool:
    """The daemon has started, or has finished a reload. ``True`` if systemd was told."""
    return _send("READY=1")


def reloading() -> bool:
    """The daemon reads its configuration anew; ``ready`` ends this."""
    return _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> bool:
    """The daemon has begun to shut down."""
    return _send("STOPPING=1")


def watchdog() -> bool:
    """The daemon is alive; due at least every ``watchdog_interval_s``."""
    return _send("WATCHDOG=1")


def status(text: str) -> bool:
    """One line for ``systemctl status``."""
    return _send("STATUS=" + " ".join(text.split()))


def watchdog_interval_s() -> float | None:
    """How often to call ``watchdog``: half of what systemd allows; ``None`` where it does not watch us."""
    try:
        allowed_us = int(os.environ["WATCHDOG_USEC"])
        watched_pid = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    if allowed_us <= 0 or watched_pid != os.getpid():
        return None
    return allowed_us / 2 / 1_000_000


def listening_socket() -> socket.socket | None:
    """The socket that systemd listens on for this process, if there is one. Only the first call gives it.

    :raises ActivationError: it is something else, or there are several.
    """
    if (count := _passed_descriptors()) == 0:
        return None
    try:
        passed = _first_passed(count)
    except OSError:
        passed = None
    if passed is None or count > 1 or not _is_tcp_listener(passed):
        if passed is not None:
            passed.close()
        message = "The systemd socket unit must have one ListenStream= with an address and a port, and not Accept=yes."
        raise ActivationError(message)
    return passed


def _first_passed(count: int) -> socket.socket:
    for fd in range(_FIRST_PASSED_FD, _FIRST_PASSED_FD + count):
        os.set_inheritable(fd, False)  # noqa: FBT003  it has no name
    return socket.socket(fileno=_FIRST_PASSED_FD)


def _is_tcp_listener(passed: socket.socket) -> bool:
    is_tcp = passed.family in (socket.AF_INET, socket.AF_INET6) and passed.type == socket.SOCK_STREAM
    return is_tcp and bool(passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _passed_descriptors() -> int:
    """How many there are. Takes the variables away: what a child would make of them is wrong."""
    pid, count, _ = (os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    is_count = count.isascii() and count.isdigit() and len(count) < _COUNT_MAX_CHARS
    return int(count) if pid == str(os.getpid()) and is_count else 0


def _send(message: str) -> bool:
    address = _address()
    if address is None:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_SEND_TIMEOUT_S)
            sender.sendto(message.encode("utf-8", "replace"), address)
    except OSError:
        return False
    return True


def _address() -> str | None:
    name = os.environ.get("NOTIFY_SOCKET", "")
    if name.startswith("@"):  # an abstract socket: its name begins with a zero byte
        return "\0" + name[1:]
    return name if name.startswith("/") else None
