"""The seam of accounts: where a node has them and the signing key from, and how it hears that they have changed.

Accounts are looked at with every request, so a node has them in memory, as new as the last change that it was told of.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from taskd.auth import account_file, refresh_rotation, replay_marks, signing_key
from taskd.auth.accounts import Accounts
from taskd.auth.refresh_rotation import RefreshRotation
from taskd.auth.replay_marks import ReplayMarks
from taskd.auth.settings import AuthSettings

T = TypeVar("T")

_PATIENCE_S = 10.0
"""How long a command that edits the files is waited for."""


class AccountSource(Protocol):
    """Where accounts are kept, for one node or for many."""

    def accounts(self) -> Accounts:
        """The accounts as they are now; raises ``TaskdError`` if they cannot be used."""

    def change(self, edit: Callable[[Accounts], tuple[Accounts, T]]) -> tuple[Accounts, T]:
        """Durably puts what ``edit`` makes of the accounts as they are now in their place, all or nothing, whoever else
        changes them at the same time; gives them, and what else ``edit`` gives. Blocks, so it is called in a thread.

        Raises what ``edit`` does, and ``TaskdError`` if the accounts cannot be read or written.
        """

    def signing_key(self) -> bytes:
        """The key that tokens of this service are signed with, the same on all nodes; made if there is none."""

    def refresh_rotation(self) -> RefreshRotation:
        """Which refresh tokens were used, on any node."""

    def replay_marks(self) -> ReplayMarks:
        """Which signed requests earlier processes of this node may have taken."""

    def on_change(self, callback: Callable[[], object]) -> None:
        """``callback`` is called, on the event loop, when the accounts or the key may have changed."""


class AccountFiles:
    """``auth.toml`` and ``auth.key`` of one node. They change behind its back: an operator says so, by a reload."""

    def __init__(self, settings: AuthSettings, data: Path) -> None:
        self._data = data
        self._file = accounts_path(settings, data)

    def accounts(self) -> Accounts:
        """See ``AccountSource``."""
        return account_file.read_accounts(self._file)

    def change(self, edit: Callable[[Accounts], tuple[Accounts, T]]) -> tuple[Accounts, T]:
        """See ``AccountSource``."""
        with account_file.editing(self._file, _PATIENCE_S) as under_lock:
            under_lock.accounts, given = edit(under_lock.accounts)
        return under_lock.accounts, given

    def signing_key(self) -> bytes:
        """See ``AccountSource``."""
        return signing_key.load_key(self._data)

    def refresh_rotation(self) -> RefreshRotation:
        """See ``AccountSource``."""
        return RefreshRotation(self._data / refresh_rotation.FILE_NAME)

    def replay_marks(self) -> ReplayMarks:
        """See ``AccountSource``."""
        return ReplayMarks(self._data / replay_marks.FILE_NAME)

    def on_change(self, callback: Callable[[], object]) -> None:
        """See ``AccountSource``. Nobody tells of changes to files."""


def accounts_path(settings: AuthSettings, data: Path) -> Path:
    """Where the accounts are."""
    return Path(settings.file) if settings.file else data / account_file.FILE_NAME
