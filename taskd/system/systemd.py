"""Tells systemd how the daemon is doing, over the datagram socket that it names in ``NOTIFY_SOCKET``.

The protocol is that of sd_notify(3). Without the socket every call does nothing, and no call ever raises:
a service manager that does not listen is no reason to stop working.
"""

import os
import socket
import time

_SEND_TIMEOUT_S = 1.0
"""systemd's queue is full only when systemd is stuck; the caller is not held up for longer than this."""


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
