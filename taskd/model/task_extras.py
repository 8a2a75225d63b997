"""What few tasks have beside what every task has, in a place of its own: a task without it pays one reference."""

from enum import StrEnum

from msgspec import Struct


class WhileKind(StrEnum):
    """For how long the key of a unique task keeps others of its key out."""

    PENDING = "pending"
    """While the task waits."""
    ACTIVE = "active"
    """While the task waits or runs, its retries included."""


class UniqueKey(Struct, frozen=True, gc=False, array_like=True):
    """The key that a task alone may have, meanwhile. Persisted in this order: add new fields at the end."""

    key: str
    lasts: WhileKind | int
    """A number is that many seconds from the task's creation."""


class TaskExtras(Struct, frozen=True, gc=False, array_like=True):
    """Persisted in this order: add new fields at the end, with a default."""

    unique: UniqueKey | None = None
    replay_of_task_id: str | None = None
    """The ended task that this one repeats."""
    event_chain: int = 0
    """How many tasks, each made because the one before it failed, led to this one."""
    replayed_by_task_id: str | None = None
    """The newest task that repeats this one, which has ended."""
