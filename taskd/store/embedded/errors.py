"""What can go wrong with the files of a store, each with what to do about it."""

from pathlib import Path

from taskd.model.errors import TaskdError


class StoreError(TaskdError):
    """The root of the store's own errors."""


class JournalDamagedError(StoreError):
    """Bytes that were once safe are not what they were; starting would lose or invent something."""

    def __init__(self, path: Path, offset: int, why: str) -> None:
        super().__init__(
            f"{path} is damaged at byte {offset}: {why}. Nothing was changed. Restore the file from a backup, or "
            f"keep what can be read: 'taskd journal repair {path.parent.parent}' says what is given up."
        )
        self.path = path
        self.offset = offset
        self.why = why


class DirectoryInUseError(StoreError):
    """Another daemon has the data directory."""

    def __init__(self, directory: Path, owner: str) -> None:
        super().__init__(
            f"{directory} is in use by another taskd ({owner}). Stop that one first, or give this one a data directory "
            f"of its own with --data."
        )
