"""The supervisor of a sandbox: a process that starts the sandbox's program and lets nothing of it live on.

Runs in a fork of the launcher. Over its connection it gets one line that says what to start (:class:`Order`), and
answers ``starting 0``, then ``started PID`` or ``failed ERRNO``, then ``ended STATUS``. When the other side closes the
connection, or its half, the sandbox is to end. Knows nothing of calls.

What it does itself needs nothing that a machine may forbid; what confines a sandbox is in its rules, and fails if it is
forbidden.
"""

import errno
import json
import os
import select
import signal
import socket
from contextlib import suppress
from typing import NamedTuple, NoReturn, TypedDict

from taskd.runtime.local.confinement import confine, kernel, mounts
from taskd.runtime.local.confinement.badness import Badness
from taskd.runtime.local.confinement.confine import Rules

_READ_BYTES = 64 * 1024
CHANNEL_FD = 10
"""Where the program finds its channel: past what the launcher has open. Node hands on what is past 15."""
_RESET_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)


class Order(TypedDict):
    """What to start, and where."""

    command: list[str]
    """Empty to see whether a program can be confined, and run none."""
    environment: dict[str, str]
    code: str
    rules: Rules | None
    """How it is confined; ``None`` where it is not."""


def main(connection_fd: int, output_fd: int, *channel_fd: int) -> NoReturn:
    """Runs one sandbox from its order to its end."""
    status = 1
    try:
        for fd in channel_fd:
            os.dup2(fd, CHANNEL_FD)  # inherited, as the others are not
            os.close(fd)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or there would be no exit status
        kernel.become_subreaper()
        with socket.socket(fileno=connection_fd) as connection:
            _supervise(connection, output_fd)
        status = 0
    finally:
        os._exit(status)


def refuse(connection_fd: int, error: OSError) -> None:
    """Says that there is no supervisor."""
    with suppress(OSError):
        os.write(connection_fd, _failure(error))


def _supervise(connection: socket.socket, output_fd: int) -> None:
    try:
        order = _read_order(connection)
        if order is None:
            return
        _tell(connection, b"starting 0\n")  # from here on the function may run
        status = _run(order, connection, output_fd)
    except Exception as error:
        _tell(connection, _failure(error))
    else:
        _tell(connection, b"ended %d\n" % status)


def _run(order: Order, connection: socket.socket, output_fd: int) -> int:
    """Runs the program, confined; returns its exit status when all that came of it is gone."""
    rules = order["rules"]
    if rules is not None:
        _enter_namespaces(rules)
    badness = Badness()
    is_alone = rules is not None and confine.confine_supervisor(rules)
    with badness.raised():
        process = _start(order, output_fd)
    os.close(output_fd)
    _tell(connection, b"started %d\n" % process.host_id)
    status = _wait(process.own_id, connection)
    _end_descendants(is_alone=is_alone)
    return status


def _read_order(connection: socket.socket) -> Order | None:
    """The order; ``None`` when the other side has thought better of it."""
    text = bytearray()
    while not text.endswith(b"\n"):
        chunk = connection.recv(_READ_BYTES)
        if not chunk:
            return None
        text += chunk
    order: Order = json.loads(text)
    return order


def _tell(connection: socket.socket, message: bytes) -> None:
    with suppress(OSError):  # nobody is left who wants to know
        connection.sendall(message)


def _failure(error: Exception) -> bytes:
    return b"failed %d\n" % (getattr(error, "errno", None) or errno.EIO)


def _enter_namespaces(rules: Rules) -> None:
    if rules["tree"] is not None:
        mounts.enter_namespaces(own_processes=rules["own_processes"])
    if rules["own_processes"] and os.fork() > 0:
        os._exit(0)  # the child is the first of the new processes: with its end the kernel ends all of them


class Process(NamedTuple):
    """A process by its number here, and by its number for those outside."""

    own_id: int
    host_id: int


def _start(order: Order, output_fd: int) -> Process:
    """Starts the program; it runs once this returns.

    :raises OSError: it could not be started.
    """
    report, report_write_end = os.pipe()  # closed by the kernel once the program runs
    supervisor = os.getpid()
    process = os.fork()
    if process == 0:
        _become(order, output_fd, report_write_end, supervisor)
    os.close(report_write_end)
    with open(report, "rb") as file:  # noqa: PTH123 - a descriptor
        host_id, _, code = file.read().partition(b" ")
    if code:
        os.waitpid(process, 0)
        raise OSError(int(code), os.strerror(int(code)))
    return Process(process, int(host_id))


def _become(order: Order, output_fd: int, report_fd: int, supervisor: int) -> NoReturn:
    """Turns this fork into the program."""
    try:
        kernel.die_with_parent(supervisor)
        os.write(report_fd, b"%d " % _host_id())
        os.setsid()
        for number in _RESET_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(output_fd, 1)
        os.dup2(output_fd, 2)
        os.chdir(order["code"])
        if order["rules"] is not None:
            confine.confine_program(order["rules"])
        if not order["command"]:
            os._exit(0)
        os.execve(order["command"][0], order["command"], order["environment"])  # noqa: S606 - that is the purpose
    except OSError as error:
        os.write(report_fd, b"%d" % (error.errno or errno.EIO))
    except Exception:
        os.write(report_fd, b"%d" % errno.EIO)
    finally:
        os._exit(1)


def _host_id() -> int:
    """The number of this process for those outside, which ``/proc`` was mounted by."""
    try:
        return int(os.readlink("/proc/self"))  # noqa: PTH115 - before pathlib is imported
    except (OSError, ValueError):
        return os.getpid()


def _wait(process: int, connection: socket.socket) -> int:
    """Waits until the program has ended, or is to end; gives its exit status, negative for a signal."""
    wakeups, wakeups_write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeups_write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(wakeups, select.POLLIN)
    poll.register(connection, select.POLLIN)
    status = _reap(process)
    while status is None:
        ready = dict(poll.poll())
        if connection.fileno() in ready:
            break
        os.read(wakeups, _READ_BYTES)
        status = _reap(process)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1] if status is None else status)


def _reap(process: int) -> int | None:
    """Takes in the ends of children; gives the wait status of ``process`` if it is among them."""
    while True:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == process:
            return status
        if child == 0:
            return None


def _end_descendants(*, is_alone: bool) -> None:
    """Kills all that came of the program: who has lost its parent becomes a child of this process.

    Alone, one signal gets to all of them at once, so that they cannot fork faster than they are killed.
    """
    while True:
        for child in [-1] if is_alone else _children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    with open("/proc/thread-self/children", "rb") as file:  # noqa: PTH123 - before pathlib is imported
        return list(map(int, file.read().split()))
