"""Header files: a token as ``curl -H @FILE`` takes it, so that it never stands on a command line.

A daemon on loopback leaves one for the commands of its own user, below the directory where programs of that user keep
their settings, under the name of its URL; for as long as it runs.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from taskd.auth.secret_files import SecretFileError, read_secret, write_secret

log = logging.getLogger(__name__)

HEADER_FILE = "local.header"
"""In the data directory."""
_HEADER = "Authorization: Bearer "
_INSTEAD = "Give it to them as TASKD_TOKEN, which `taskd token --show --data DIRECTORY` prints."
_DIRECTORY = "taskd"
_PORT = 80
_LOCALHOST, _LOOPBACK = "localhost", "127.0.0.1"


def header_line(token: str) -> str:
    """The text of a header file."""
    return f"{_HEADER}{token}\n"


def read_token(path: Path) -> str | None:
    """The token in the header file at ``path``; ``None`` if there is none.

    :raises SecretFileError: it cannot be read, or others may.
    """
    text = read_secret(path)
    return text.strip().removeprefix(_HEADER) if text and text.startswith(_HEADER) else None


def header_file(url: str) -> Path | None:
    """Where the daemon at ``url`` leaves its token for commands; ``None`` if it leaves none for such a URL.

    None is left beyond plain HTTP.
    """
    parts, home = urlsplit(by_address(url)), _settings_home()
    if home is None or parts.scheme != "http" or not parts.hostname:
        return None
    return home / _DIRECTORY / f"{parts.hostname}_{parts.port or _PORT}.header"


def by_address(url: str) -> str:
    """``url`` with 127.0.0.1 for ``localhost``.

    A token that a daemon left must go to its address alone. The name may lead to ::1 first, where another user of the
    machine can listen on the same port.
    """
    parts = urlsplit(url)
    if parts.hostname != _LOCALHOST or parts.username:
        return url
    return parts._replace(netloc=f"{_LOOPBACK}:{parts.port or _PORT}").geturl()


@contextmanager
def left_for_commands(url: str, token: str) -> Iterator[None]:
    """Meanwhile ``token`` is where commands for ``url`` look. Commands can do without: what cannot be had is logged."""
    path, text = header_file(url), header_line(token)
    if path is None or not _can_leave(path, text):
        yield
        return
    try:
        yield
    finally:
        if _holds(path, text):
            path.unlink(missing_ok=True)


def _can_leave(path: Path, text: str) -> bool:
    try:
        if not _is_own(path.parent):
            raise SecretFileError(f"{path} would belong to another user.")
        write_secret(path, text)
    except (OSError, SecretFileError) as error:
        log.info("Commands will not find the token by themselves: %s %s", error, _INSTEAD)
        return False
    return True


def _is_own(directory: Path) -> bool:
    """Whether ``directory``, or what it would be made in, is our own user's: root may be given the home of another."""
    there = next(folder for folder in (directory, *directory.parents) if folder.exists())
    return there.stat().st_uid == os.geteuid()


def _holds(path: Path, text: str) -> bool:
    """Whether it is still ours: another daemon may have taken the address over."""
    try:
        return read_secret(path) == text
    except SecretFileError:
        return False


def _settings_home() -> Path | None:
    """As the XDG Base Directory Specification has it; a user of a service may have none."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    if named.startswith("/"):  # a relative one is to be ignored
        return Path(named)
    try:
        return Path.home() / ".config"
    except RuntimeError:
        return None
