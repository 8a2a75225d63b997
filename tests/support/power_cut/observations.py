"""What clients of a recorded daemon were told, and when: what must be there after a power cut at any moment.

Times are of ``time.monotonic_ns``, which is one clock for all processes: what was observed at a moment was done then.
"""

import time
from collections import Counter
from typing import NamedTuple


class Observation(NamedTuple):
    """``kind`` is the name of the method of :class:`KnownState` that takes it in."""

    time_ns: int
    kind: str
    subject: str
    value: str


class KnownState:
    """All that is known at one moment."""

    def __init__(self) -> None:
        self.attempted: set[str] = set()
        """Keys of creations that were sent."""
        self.created: dict[str, str] = {}
        """Tasks whose creation was acknowledged, with their keys."""
        self.canceled: set[str] = set()
        self.ends: dict[str, str] = {}
        """Final statuses that were seen."""
        self.runs: Counter[str] = Counter()
        """How often each task has begun to run."""
        self.code: dict[str, set[str]] = {}
        """The versions that each function may have: one, unless a deployment is on its way."""
        self.schedules: set[str] = set()
        """Schedules that exist for certain."""
        self.removed_schedules: set[str] = set()
        """Schedules whose removal was acknowledged."""
        self.users: set[str] = set()

    def creation_attempt(self, key: str, _: str) -> None:
        self.attempted.add(key)

    def creation(self, task_id: str, key: str) -> None:
        self.created[task_id] = key

    def cancellation(self, task_id: str, _: str) -> None:
        self.canceled.add(task_id)

    def end(self, task_id: str, status: str) -> None:
        assert self.ends.setdefault(task_id, status) == status, f"{task_id} ended twice"

    def run(self, task_id: str, _: str) -> None:
        self.runs[task_id] += 1

    def deployment_attempt(self, name: str, version: str) -> None:
        self.code.setdefault(name, {""}).add(version)

    def deployment(self, name: str, version: str) -> None:
        self.code[name] = {version}

    def schedule_creation(self, schedule_id: str, _: str) -> None:
        self.schedules.add(schedule_id)

    def schedule_removal_attempt(self, schedule_id: str, _: str) -> None:
        self.schedules.remove(schedule_id)

    def schedule_removal(self, schedule_id: str, _: str) -> None:
        self.removed_schedules.add(schedule_id)

    def user(self, email: str, _: str) -> None:
        self.users.add(email)


class ObservationLog:
    """What clients and functions observed, and when."""

    def __init__(self) -> None:
        self._observations: list[Observation] = []

    def record(self, kind: str, subject: str, value: str = "", time_ns: int | None = None) -> None:
        """``kind`` is a method of :class:`KnownState`; it is so since now, or since ``time_ns``."""
        since_ns = time.monotonic_ns() if time_ns is None else time_ns
        self._observations.append(Observation(since_ns, kind, subject, value))

    def known_at(self, time_ns: int) -> KnownState:
        """What was known at a moment."""
        known = KnownState()
        made = [observation for observation in self._observations if observation.time_ns <= time_ns]
        for observation in sorted(made, key=lambda observation: observation.time_ns):
            getattr(known, observation.kind)(observation.subject, observation.value)
        return known
