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


class OnConflict(StrEnum):
    """What is to be done with a task whose unique key another task has."""

    EXISTING = "existing"
    """It is not made, and the other one is answered."""
    REJECT = "reject"
    """It is refused."""
    REPLACE = "replace"
    """If the other one waits, it takes over what is new; otherwise as ``EXISTING``."""


class UniqueRule(Struct, frozen=True, gc=False, array_like=True):
    """The key of each task of a schedule. Persisted in this order: add new fields at the end, with a default."""

    key: str
    lasts: WhileKind | int
    on_conflict: OnConflict = OnConflict.EXISTING


class TaskExtras(Struct, frozen=True, gc=False, array_like=True):
    """Persisted in this order: add new fields at the end, with a default."""

    unique: UniqueKey | None = None
    replay_of_task_id: str | None = None
    """The ended task that this one repeats."""
    event_chain: int = 0
    """How many tasks, each made because the one before it failed, led to this one."""
    replayed_by_task_id: str | None = None
    """The newest task that repeats this one, which has ended."""


def inherited(extras: TaskExtras | None) -> TaskExtras | None:
    """What of the extras of a task its retry has, too.

    A key that lasts for some seconds stays with the first task: it counts from its creation, however that ended.
    """
    if extras is None:
        return None
    unique = extras.unique if extras.unique is not None and isinstance(extras.unique.lasts, WhileKind) else None
    if unique is None and not extras.event_chain:
        return None
    return TaskExtras(unique=unique, event_chain=extras.event_chain)
