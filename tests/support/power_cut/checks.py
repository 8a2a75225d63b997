"""What must hold of a data directory after a power cut, given what clients had been told until then."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from support.power_cut.observations import KnownState
from support.store.views import lost_history

from taskd.auth.account_file import FILE_NAME, read_accounts
from taskd.model.status import FINAL, Status
from taskd.model.task import Task
from taskd.rql.parser import parse
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

PAGE = 100


async def check(data: Path, known: KnownState, codes: Mapping[str, bytes]) -> None:
    """Starts a store on ``data`` twice, and asserts every promise; ``codes`` has the zip of every version."""
    tasks = await _started_twice(data, known, codes)
    _check_creations(tasks, known)
    _check_ends(tasks, known)
    _check_retries(tasks)
    assert known.users <= {user.email for user in read_accounts(data / FILE_NAME).users}, "accounts are gone"
    assert not _broken(data), "the catalogue was damaged"


async def _started_twice(data: Path, known: KnownState, codes: Mapping[str, bytes]) -> dict[str, Task]:
    seen = []
    for _ in range(2):
        failures: list[BaseException] = []
        store = EmbeddedStore(StoreSettings(data=str(data)), on_fatal=failures.append)
        await store.start()
        try:
            seen.append(await _tasks_of(store))
            await _check_schedules(store, known)
            _check_code(store, data, known, codes)
        finally:
            await store.stop()
        assert not failures
    assert seen[0] == seen[1], "a second start found something else"
    return seen[0]


async def _tasks_of(store: EmbeddedStore) -> dict[str, Task]:
    """Every task that a listing finds; those that have not ended are exactly those that the journal holds."""
    found: dict[str, Task] = {}
    while rows := (await store.find(parse(f"limit({PAGE},{len(found)})"))).rows:
        found |= {task.id: task for task in rows}
    listed = {task.id: task.status for task in found.values() if task.status not in FINAL}
    assert listed == {task.id: task.status for task in store._commits.state.tasks.values()}
    assert await lost_history(store) is None
    return found


def _broken(data: Path) -> list[Path]:
    return list(data.glob("*.broken-*"))


def _check_creations(tasks: Mapping[str, Task], known: KnownState) -> None:
    assert set(known.created) <= set(tasks), f"acknowledged tasks are gone: {set(known.created) - set(tasks)}"
    originals = [task for task in tasks.values() if not task.retry_for_task_ids and task.schedule_id is None]
    keys = [msgspec.json.decode(task.data)["key"] for task in originals]
    assert len(set(keys)) == len(keys), "one creation made two tasks"
    assert set(keys) <= known.attempted, "tasks were invented"


def _check_ends(tasks: Mapping[str, Task], known: KnownState) -> None:
    ends = {task_id: str(tasks[task_id].status) for task_id in known.ends}
    assert ends == known.ends, "a final status has changed"
    assert all(tasks[task_id].status is Status.CANCELED for task_id in known.canceled), "a canceled task goes on"
    again = [task_id for task_id in known.runs if tasks[task_id].status is Status.NEW]
    assert not again, f"these have run, and would run again: {again}"


def _check_retries(tasks: Mapping[str, Task]) -> None:
    """A retried task and its successor came in one step."""
    named = {task.id: task.retried_by_task_id for task in tasks.values() if task.retried_by_task_id}
    made = {task.retry_for_task_ids[-1]: task.id for task in tasks.values() if task.retry_for_task_ids}
    assert named == made


async def _check_schedules(store: EmbeddedStore, known: KnownState) -> None:
    found = {schedule.id for schedule in (await store.find_schedules(parse(f"limit({PAGE})"))).rows}
    assert known.schedules <= found, "acknowledged schedules are gone"
    assert not known.removed_schedules & found, "removed schedules are back"


def _check_code(store: EmbeddedStore, data: Path, known: KnownState, codes: Mapping[str, bytes]) -> None:
    found = {function.name: function.code_version for function in store.functions()}
    for name, versions in known.code.items():
        assert found.get(name, "") in versions, f"{name} has another version than the one deployed"
    for name, version in found.items():
        with zipfile.ZipFile(io.BytesIO(codes[version])) as archive:
            for entry in archive.namelist():
                unpacked = data / "functions" / name / version / entry
                assert unpacked.read_bytes() == archive.read(entry), f"{unpacked} is not what was deployed"
