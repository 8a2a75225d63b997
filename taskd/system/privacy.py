"""Keeping what the daemon has to its own user: the files that it makes, its data directory and its memory."""

import ctypes
import logging
import os
import stat
import sys
from pathlib import Path

from taskd.model.errors import TaskdError
from taskd.system.os_limits import attempt

log = logging.getLogger(__name__)

_PR_SET_DUMPABLE = 4
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_to_own_user() -> None:
    """From now on other users cannot open what this process makes, nor any other process look into its memory.

    Both hold for the whole process. A child inherits the first, and is as open as any once it runs another program.
    """
    os.umask(_OTHERS)
    if sys.platform == "linux":
        attempt("keep its memory from being traced and dumped", _forbid_dumps)


def _forbid_dumps() -> None:
    """Keys and tokens are in memory: no core file of it, and no debugger of the same user's."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def refuse_foreign(directory: Path) -> None:
    """Refuses a directory of another user's in a place where anybody may make one, such as below ``/tmp``.

    Whoever has put it there could exchange the code and the accounts in it, and would be given what root makes there.

    :raises TaskdError: it is such a directory.
    """
    if not directory.is_dir() or (owner := directory.stat().st_uid) in (0, os.geteuid()):
        return
    if any(place.stat().st_mode & stat.S_IWOTH for place in (directory, directory.resolve().parent)):
        raise TaskdError(
            f"The data directory {directory} belongs to another user (number {owner}), and stands where anybody may "
            "make one. Name one of your own with --data, or move it to where only its owner may write."
        )


def close_to_others(directory: Path, *, known_by: str) -> None:
    """Leaves ``directory`` to its owner if it is there and ours alone: it is empty, or has a file ``known_by``.

    One that is shared on purpose (a sticky bit), holds other things or belongs to somebody else stays as it is.
    """
    if not directory.is_dir() or not (found := directory.stat()).st_mode & _OTHERS:
        return
    is_ours = (directory / known_by).exists() or not any(directory.iterdir())
    if is_ours and found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX:
        attempt("close the data directory to other users", lambda: directory.chmod(0o700))
    else:
        log.warning("Other users may look into the data directory %s; `chmod 700` keeps them out.", directory)
