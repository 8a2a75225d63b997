"""The supervisor of a sandbox: a process that starts the sandbox's program and lets nothing of it live on.

Runs in a fork of the launcher. Over its connection it gets one line that says what to start (:class:`Order`), and
answers ``starting 0``, then ``started PID`` or ``failed ERRNO``, then ``ended STATUS``. When the other side closes the
connection, or its half, the sandbox is to end. Knows nothing of calls.
"""

import errno
import json
import os
import select
import signal
import socket
from contextlib import suppress
from typing import NoReturn, TypedDict

from taskd.runtime.local.confinement import confine, kernel, mounts
from taskd.runtime.local.confinement.confine import Rules

_READ_BYTES = 64 * 1024
_SCRATCH = ("HOME", "TMPDIR")
_RESET_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)


class Order(TypedDict):
    """What to start, and where."""

    command: list[str]
    """Empty to see whether a program can be confined, and run none."""
    environment: dict[str, str]
    code: str
    rules: Rules | None
    """How it is confined; ``None`` where it is not."""


def main(connection_fd: int, output_fd: int) -> NoReturn:
    """Runs one sandbox from its order to its end."""
    status = 1
    try:
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
    order = _read_order(connection)
    if order is None:
        return
    _tell(connection, b"starting 0\n")  # from here on the function may run
    try:
        is_alone = _confine_self(order)
        process = _start(order, output_fd)
    except OSError as error:
        _tell(connection, _failure(error))
        return
    os.close(output_fd)
    _tell(connection, b"started %d\n" % process)
    status = _wait(process, connection)
    _end_descendants(is_alone=is_alone)
    _tell(connection, b"ended %d\n" % status)


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


def _failure(error: OSError) -> bytes:
    return b"failed %d\n" % (error.errno or errno.EIO)


def _confine_self(order: Order) -> bool:
    """Confines this process as far as its sandbox is; returns whether a signal to all reaches nobody else."""
    rules = order["rules"]
    if rules is None:
        return False
    is_alone = confine.confine_supervisor(rules)
    if rules["own_mounts"]:
        environment = order["environment"]
        environment.update({name: mounts.TMP for name in _SCRATCH if environment.get(name) == rules["scratch"]})
    return is_alone


def _start(order: Order, output_fd: int) -> int:
    """Starts the program; it runs once this returns.

    :raises OSError: it could not be started.
    """
    failure, failure_write_end = os.pipe()  # closed by the kernel once the program runs
    supervisor = os.getpid()
    process = os.fork()
    if process == 0:
        _become(order, output_fd, failure_write_end, supervisor)
    os.close(failure_write_end)
    with open(failure, "rb") as file:  # noqa: PTH123 - a descriptor
        code = file.read()
    if code:
        os.waitpid(process, 0)
        raise OSError(int(code), os.strerror(int(code)))
    return process


def _become(order: Order, output_fd: int, failure_fd: int, supervisor: int) -> NoReturn:
    """Turns this fork into the program."""
    try:
        kernel.die_with_parent(supervisor)
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
        os.write(failure_fd, b"%d" % (error.errno or errno.EIO))
    finally:
        os._exit(1)


def _wait(process: int, connection: socket.socket) -> int:
    """Waits until the program has ended, or is to end; gives its exit status, negative for a signal."""
    ended = os.pidfd_open(process)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLIN)
    poll.poll()
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    os.close(ended)
    return os.waitstatus_to_exitcode(status)


def _end_descendants(*, is_alone: bool) -> None:
    """Kills all that came of the program: who has lost its parent becomes a child of this process.

    Alone, one signal gets to all of them at once, so that they cannot fork faster than they are killed.
    """
    while True:
        if is_alone:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(-1, signal.SIGKILL)
        for child in _children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:  # noqa: PTH123 - before pathlib is imported
        return list(map(int, file.read().split()))
