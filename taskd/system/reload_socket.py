"""The reload socket: a command has the daemon read its credentials anew, and hears what became of it.

A signal could ask for the same, but nobody hears the answer to one. The socket is in the data directory, where only
the daemon's own user and root can open it. To connect is to ask: the answer is ``ok``, or what is wrong.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import cast

from taskd.model.errors import TaskdError

log = logging.getLogger(__name__)

_NAME = "reload.sock"
_OK = b"ok\n"
_ANSWER_MAX_BYTES = 1 << 20
_PATH_MAX_BYTES = 100
"""Less than what the kernel takes as the address of a Unix socket on any system (103 on macOS, 107 on Linux)."""
_ANSWER_TIMEOUT_S = 60.0


class ReloadError(TaskdError):
    """The daemon could not be asked, or what it read cannot be used; the message says which and why."""


@asynccontextmanager
async def listening(directory: Path, reload: Callable[[], str | None]) -> AsyncIterator[None]:
    """Meanwhile :func:`request_reload` calls ``reload``, which gives what is wrong or ``None``.

    Only for the process that has the directory's lock. The daemon can do without: what cannot be had is logged.
    """
    path = directory / _NAME
    try:
        listener = _bound(path)
    except OSError as error:
        log.warning("`taskd reload` will not work, since %s cannot be made: %s.", path, error.strerror or error)
        yield
        return
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Answer(reload), sock=listener)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def request_reload(directory: Path) -> None:
    """Has the daemon that works on ``directory`` read its credentials anew, and returns when it has.

    :raises ReloadError: there is none, or what it read cannot be used and the old stays in force.
    """
    try:
        answer = _ask(directory / _NAME)
    except (FileNotFoundError, ConnectionRefusedError):
        raise ReloadError(f"No taskd is running on {directory.absolute()}.") from None
    except OSError as error:
        raise ReloadError(f"taskd cannot be asked over {directory / _NAME}: {error.strerror or error}.") from None
    if answer != _OK:
        raise ReloadError(
            answer.decode(errors="replace").strip() or "taskd did not say what became of it; see its log."
        )


class _Answer(asyncio.Protocol):
    """One connection: reloads, tells the outcome and hangs up."""

    def __init__(self, reload: Callable[[], str | None]) -> None:
        self._reload = reload

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asked by nothing more than the connection itself."""
        writing = cast(asyncio.WriteTransport, transport)  # uvloop's own is one by its methods alone
        try:
            problem = self._reload()
            writing.write(_OK if problem is None else problem.encode(errors="replace"))
        finally:
            writing.close()


def _bound(path: Path) -> socket.socket:
    with suppress(FileNotFoundError):  # a killed process leaves its own behind
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(path) as address:
            listener.bind(address)
        listener.settimeout(0)
    except BaseException:
        listener.close()
        raise
    return listener


def _ask(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, _address(path) as address:
        asking.settimeout(_ANSWER_TIMEOUT_S)
        asking.connect(address)
        with asking.makefile("rb") as answer:
            return answer.read(_ANSWER_MAX_BYTES)


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """``path``, or a shorter way to it where it is longer than an address may be."""
    if len(os.fsencode(path)) <= _PATH_MAX_BYTES:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
