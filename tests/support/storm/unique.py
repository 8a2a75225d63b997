"""Unique tasks of a storm: which keys they have, and what must be true of those that have the same one."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, pairwise
from typing import NamedTuple

from support.storm.run_log import Run
from support.storm.schedule_grid import Record

from taskd.model.errors import ALREADY_EXISTS

PROBABILITY = 0.15
"""How probably a task has a unique key."""
TAG = "unique"
"""Of every task that has one."""
KEYS = 2
"""So few of each kind that tasks meet."""
REFUSED = ALREADY_EXISTS.code
NEVER = 1 << 62


def unique_rule(rng: random.Random) -> Record:
    """The part of a body that makes its task unique, now and then."""
    if rng.random() >= PROBABILITY:
        return {}
    lasts = rng.choice(["pending", "active"])
    conflict = rng.choice(["existing", "replace", "replace", "reject"])
    return {"unique": {"key": f"{lasts}-{rng.randrange(KEYS)}", "while": lasts, "onConflict": conflict}}


class Sent(NamedTuple):
    """When a task was asked for, and when that it is what it asked for was answered, in the order of all of this."""

    at: int
    answered: int = NEVER


class UniqueTasks:
    """What was asked for with a unique key, by the key of the data, which no two have in common."""

    def __init__(self) -> None:
        self._sent: dict[str, Sent] = {}
        self._moments = count()
        self._taken_over: dict[str, list[Sent]] = defaultdict(list)
        """By task: what it was acknowledged to have become."""

    def ask(self, key: str) -> None:
        """One is about to be asked for."""
        self._sent[key] = Sent(next(self._moments))

    def answer(self, key: str, task: Record) -> None:
        """That was answered with this task: perhaps one of others."""
        if task["data"]["key"] == key:
            self._sent[key] = self._sent[key]._replace(answered=next(self._moments))
            self._taken_over[task["id"]].append(self._sent[key])

    def moment(self) -> int:
        """What is answered from now on comes after this."""
        return next(self._moments)

    def verify(self, until: int, tasks: Mapping[str, Record], runs: Sequence[Run]) -> None:
        """Asserts that nothing acknowledged gave way to what was there before, and that no two ran at once.

        ``tasks`` were listed after the moment ``until``.
        """
        for task_id, answers in self._taken_over.items():
            acknowledged = [sent.at for sent in answers if sent.answered < until]
            now = self._sent.get(tasks[task_id]["data"]["key"]) if acknowledged else None
            assert now is None or now.answered > max(acknowledged), f"what replaced it is lost: {tasks[task_id]}"
        self._verify_runs(tasks, runs)

    def _verify_runs(self, tasks: Mapping[str, Record], runs: Sequence[Run]) -> None:
        by_key = defaultdict(list)
        for run in runs:
            if run.end_ms is not None and (key := _active_key(tasks.get(run.task_id))) is not None:
                by_key[key].append((run.begin_ms, run.end_ms, run))
        for mine in by_key.values():
            for (_, end_ms, former), (begin_ms, _, later) in pairwise(sorted(mine)):
                assert begin_ms >= end_ms, f"ran at once with the same key: {former}, {later}"


def _active_key(task: Record | None) -> tuple[str, str] | None:
    """The key that no other may run with; none where nobody heard the task end, whose key was free from then on."""
    if task is None or task.get("unique", {}).get("while") != "active":
        return None
    is_zombie = task.get("error", {}).get("name") == "zombieTaskCleaned"
    return None if is_zombie else (task["functionName"], task["unique"]["key"])


def verify_alone(live: Iterable[Record]) -> None:
    """Asserts that of all that waited or ran at one moment no two had a key that kept the other out."""
    keys = Counter((task["functionName"], task["unique"]["key"]) for task in live if _keeps_out(task))
    twice = [key for key, number in keys.items() if number > 1]
    assert not twice, f"two live tasks have the keys {twice}"


def _keeps_out(task: Record) -> bool:
    """Whether another of its key cannot have come before it was as it is.

    The key of one that waits is free while it runs: if it has to wait again, or its retry does, another may have it.
    """
    if "unique" not in task:
        return False
    waits_anew = "retryForTaskIds" in task or task["statusChangedTimestamp"] != task["creationTimestamp"]
    return task["unique"]["while"] == "active" or (task["status"] == "new" and not waits_anew)
