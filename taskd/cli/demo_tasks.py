"""What ``taskd demo`` does: a few tasks of different priorities, all due at the same moment, and how they went."""

from pathlib import Path
from typing import Any, NamedTuple

import taskd
from taskd.cli.client import ApiClient, Json
from taskd.cli.polling import is_final
from taskd.model.status import Status
from taskd.model.timestamps import format_ms, parse_rfc3339

EXAMPLES = Path(taskd.__file__).parent / "examples"
PYTHON = "hello-python"
NODE = "hello-node"


class Plan(NamedTuple):
    """A task of the demo, before it is created."""

    function: str
    priority: int
    label: str
    data: dict[str, Any]


PLANS = (
    Plan(NODE, -10, "nightly summary", {"readings": [72, 75, 71, 70]}),
    Plan(PYTHON, 0, "routine check, bed 1", {"heartRate": 68, "oxygenSaturation": 98, "temperature": 36.6}),
    Plan(PYTHON, 0, "routine check, bed 2", {"heartRate": 74, "oxygenSaturation": 97}),
    Plan(NODE, 10, "hourly trend", {"readings": [98, 97, 99, 96]}),
    Plan(PYTHON, 50, "fever, bed 4", {"heartRate": 96, "oxygenSaturation": 96, "temperature": 39.4}),
    Plan(PYTHON, 100, "oxygen falling, bed 7", {"heartRate": 131, "oxygenSaturation": 86, "temperature": 37.2}),
    Plan(NODE, 50, "trend, bed 4", {"readings": [37.0, 37.8, 38.6, 39.4]}),
    Plan(PYTHON, -10, "check of yesterday", {"temperature": 36.9}),
)
"""In the order in which they are created, which is on purpose not the order in which they are to run."""


class Run(NamedTuple):
    """The tasks of a demo: their ids, with what was planned."""

    plans: dict[str, Plan]
    due_ms: int


def create_tasks(client: ApiClient, functions: set[str], due_ms: int) -> Run:
    """Creates those of the planned tasks whose function is there, all due at ``due_ms``."""
    plans = {_create(client, plan, due_ms): plan for plan in PLANS if plan.function in functions}
    return Run(plans, due_ms)


def _create(client: ApiClient, plan: Plan, due_ms: int) -> str:
    draft = {
        "functionName": plan.function,
        "data": plan.data,
        "priority": plan.priority,
        "startTimestamp": format_ms(due_ms),
        "tags": ["demo", plan.label],
    }
    return str(client.post("/", draft)["id"])


def read_tasks(client: ApiClient, run: Run) -> list[Json]:
    """The tasks as they are now: those that ran in the order in which they did, then those that wait as created.

    They run one at a time, so the order in which they end is the order in which they started; where two
    ended in the same millisecond, the clock cannot tell, and the order asked for is shown.
    """
    ids = ",".join(run.plans)
    tasks = client.get("/", f"in(id,{ids})&sort(id)&limit({len(run.plans)})")["data"]
    return sorted(tasks, key=_sort_key)


def _sort_key(task: Json) -> tuple[int, int, int]:
    if is_final(task):
        return 0, done_ms(task), -task["priority"]
    return 1 if task["status"] == Status.IN_PROGRESS else 2, 0, 0


def done_ms(task: Json) -> int:
    """When the task's status last changed."""
    return parse_rfc3339(task["statusChangedTimestamp"]) or 0
