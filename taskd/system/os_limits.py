"""The limits of the operating system: raised as far as this process may, and explained where they stop a start."""

import errno
import logging
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from taskd.model.errors import TaskdError

log = logging.getLogger(__name__)

_DESCRIPTORS_MAX = 1 << 20
"""Where there is no limit: some programs that functions run go through all that there may be."""
_DESCRIPTORS_USUAL = 1024
_FILES = "Let it have more open files: LimitNOFILE= of its systemd unit, or `ulimit -n`."
_PROCESSES = "Let it have more processes and threads: TasksMax= of its systemd unit, or `ulimit -u`."
_ADVICE = {
    errno.EMFILE: _FILES,
    errno.ENFILE: "The whole machine has too many open files: see fs.file-max.",
    errno.ENOMEM: "Free some memory, or let it have more: MemoryMax= of its systemd unit.",
    errno.EAGAIN: _PROCESSES,
    errno.EACCES: "Look at the permissions of the data directory and of the programs that functions need.",
    errno.EPERM: "Look at what its systemd unit, or its container, forbids.",
}
_NO_ADVICE = "Look at what limits this process has, then start it again."


class StartError(TaskdError):
    """The machine refused what a start needs; the message says what to do."""


@contextmanager
def raising_start_errors() -> Iterator[None]:
    """Raises every ``OSError`` of its block as :class:`StartError`, with advice."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        what = f"{reason} ({error.filename})" if error.filename else reason
        advice = _ADVICE.get(error.errno or 0, _NO_ADVICE)
        raise StartError(f"This machine does not let taskd start: {what}. {advice}") from error


_refused: set[str] = set()
"""What has been logged as refused."""


def attempt(what: str, call: Callable[[], object]) -> bool:
    """Makes a call that the daemon can do without. That the machine refuses it is logged once for each ``what``."""
    try:
        call()
    except (OSError, ValueError) as error:  # setrlimit raises ValueError for EPERM
        if what not in _refused:
            _refused.add(what)
            log.warning("This machine does not let taskd %s (%s). It goes on without.", what, error)
        return False
    return True


def raise_descriptor_limit() -> None:
    """Raises the limit of open files as far as this process may: each connection takes one."""
    attempt("have more open files", _raise_soft_limit)


def descriptor_limit() -> int:
    """How many open files this process may have; what is usual, where that cannot be asked."""
    try:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:
        return _DESCRIPTORS_USUAL
    return _DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft


def _raise_soft_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
