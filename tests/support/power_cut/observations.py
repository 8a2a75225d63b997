"""What clients of a recorded daemon were told, and when: what must be there after a power cut at any moment.

Times are of ``time.monotonic_ns``, which is one clock for all processes: what was heard at a moment was done before it.
"""

import time
from bisect import bisect_right
from collections import Counter
from typing import NamedTuple


class Fact(NamedTuple):
    """``kind`` is the name of the method of :class:`Known` that takes it in."""

    time_ns: int
    kind: str
    subject: str
    value: str


class Known:
    """All that is known at one moment."""

    def __init__(self) -> None:
        self.tries: set[str] = set()
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
        self.gone: set[str] = set()
        """Schedules whose removal was acknowledged."""
        self.users: set[str] = set()

    def trying(self, key: str, _: str) -> None:
        self.tries.add(key)

    def creation(self, task_id: str, key: str) -> None:
        self.created[task_id] = key

    def cancelling(self, task_id: str, _: str) -> None:
        self.canceled.add(task_id)

    def end(self, task_id: str, status: str) -> None:
        assert self.ends.setdefault(task_id, status) == status, f"{task_id} ended twice"

    def run(self, task_id: str, _: str) -> None:
        self.runs[task_id] += 1

    def deploying(self, name: str, version: str) -> None:
        self.code.setdefault(name, {""}).add(version)

    def deployment(self, name: str, version: str) -> None:
        self.code[name] = {version}

    def schedule(self, schedule_id: str, _: str) -> None:
        self.schedules.add(schedule_id)

    def unscheduling(self, schedule_id: str, _: str) -> None:
        self.schedules.remove(schedule_id)

    def removal(self, schedule_id: str, _: str) -> None:
        self.gone.add(schedule_id)

    def user(self, email: str, _: str) -> None:
        self.users.add(email)


class Witness:
    """Notes facts as they become known."""

    def __init__(self) -> None:
        self._facts: list[Fact] = []

    def note(self, kind: str, subject: str, value: str = "", time_ns: int | None = None) -> None:
        """``kind`` is a method of :class:`Known`; it is so since now, or since ``time_ns``."""
        self._facts.append(Fact(time.monotonic_ns() if time_ns is None else time_ns, kind, subject, value))

    def known_at(self, time_ns: int) -> Known:
        """What was known at a moment."""
        known = Known()
        facts = sorted(self._facts, key=lambda fact: fact.time_ns)
        for fact in facts[: bisect_right(facts, time_ns, key=lambda fact: fact.time_ns)]:
            getattr(known, fact.kind)(fact.subject, fact.value)
        return known
