"""The key that our own tokens are signed with: made once, kept in the data directory, rotated by hand.

The file is a node's own, which is safe on one node: its tokens come back to it alone. Nodes that take each other's
tokens need one key, from a store that they share, since a token signed with another key is void.
"""

import secrets
from pathlib import Path

from taskd.auth.secret_files import SecretFileError, locked, read_secret, write_secret
from taskd.system.files import sync_directory

FILE_NAME = "auth.key"
_KEY_BYTES = 32


def load_key(directory: Path) -> bytes:
    """The signing key of the data directory; made if it has none."""
    path = directory / FILE_NAME
    text = read_secret(path)
    if text is None:
        text = _made(path)
    else:
        sync_directory(directory)  # one that made it and was killed may not have got as far
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise SecretFileError(f"{path} is damaged. Delete it to have a new one made: every login then ends.")
    return key


def rotate_key(directory: Path) -> None:
    """Takes a new signing key: what the old one has signed is void."""
    path = directory / FILE_NAME
    with locked(path):
        _write_new(path)


def _made(path: Path) -> str:
    """The first key; that of another process, if that was faster."""
    with locked(path):
        there = read_secret(path)
        return _write_new(path) if there is None else there


def _write_new(path: Path) -> str:
    text = secrets.token_hex(_KEY_BYTES)
    write_secret(path, text + "\n")
    return text
