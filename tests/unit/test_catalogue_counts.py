"""The totals of listings that are kept instead of counted: what counting gives, whatever happened to the tasks."""

import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.store.catalogues import MemoryCatalogue

from taskd.model.status import Status
from taskd.model.task import Task, TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.catalogue.schema import VERSION, open_catalogue
from taskd.store.embedded.catalogue.statements import updates, upserts
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

FIXTURE = Path(__file__).parent.parent / "fixtures" / "v1" / "catalogue.db"
FILTERS = (
    *("", "status=complete", "status!=complete", "functionName=g", "functionName=f&status=new", "functionName=re:^g"),
    *("in(status,new,inProgress)", "or(functionName=h,status=failed)", "like(functionName,G)", "contains(status)"),
    *("excludes(functionName)", "functionName=f&data.n=1", "functionName.x=1", "contains(status,a=1)", "status>f"),
)
Step = tuple[str, list[Any]]
SEQS = st.integers(1, 6)
STATUSES = st.sampled_from(Status)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.lists(st.tuples(SEQS, STATUSES, st.sampled_from("fgh")), max_size=4)),
        st.tuples(st.just("update"), st.lists(st.tuples(SEQS, STATUSES), max_size=4, unique_by=lambda pair: pair[0])),
        st.tuples(st.just("delete"), st.lists(SEQS, max_size=3)),
    ),
    max_size=8,
)


def a_task(seq: int, status: Status, function_name: str = "f") -> Task:
    return Task(f"{seq:024x}", seq, function_name, b'{"n":1}', 0, 0, 0, status, 0)


def take(catalogue: MemoryCatalogue, model: dict[int, Task], step: Step) -> None:
    """Does the same to the catalogue and to ``model``. A task's function is settled when it is first written."""
    kind, what = step
    if kind == "delete":
        catalogue.connection.execute("DELETE FROM tasks WHERE seq IN (SELECT value FROM json_each(?))", [str(what)])
        for seq in what:
            model.pop(seq, None)
    elif kind == "upsert":
        batch = {seq: a_task(seq, status, name) for seq, status, name in what}
        catalogue.write(upserts(batch.values()))
        model |= {seq: replace(model.get(seq, task), status=task.status) for seq, task in batch.items()}
    else:
        known = [replace(model[seq], status=status) for seq, status in what if seq in model]
        catalogue.write(updates(known))
        model |= {task.seq: task for task in known}


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_totals_are_what_counting_gives(steps: list[Step]) -> None:
    model: dict[int, Task] = {}
    with closing(MemoryCatalogue()) as catalogue:
        for step in steps:
            take(catalogue, model, step)
        for text in FILTERS:
            found = catalogue.find(parse(f"{text}&limit(100)".strip("&")))
            assert catalogue.page(parse(text)).total == len(found), text
        by_status = Counter((task.function_name, task.status.value) for task in model.values())
        assert kept(catalogue.connection) == by_status


def kept(connection: sqlite3.Connection) -> Counter[tuple[str, str]]:
    rows = connection.execute("SELECT function_name, status, tasks FROM task_counts WHERE tasks <> 0")
    return Counter({(name, status): count for name, status, count in rows})


def test_a_catalogue_without_counts_gets_them_when_it_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = Path(shutil.copy(FIXTURE, tmp_path / "catalogue.db"))
    expected = json.loads((FIXTURE.parent / "expected.json").read_text())["tasks"]
    for opened in range(2):
        connection = open_catalogue(path, 0)
        assert kept(connection) == Counter((task["functionName"], task["status"]) for task in expected)
        assert caplog.text.count(f"from schema 1 to {VERSION}") == 1, opened
        connection.close()


async def test_a_catalogue_that_is_built_anew_has_right_totals(tmp_path: Path) -> None:
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)))
    for lost in (False, True):
        if lost:
            (tmp_path / "catalogue.db").unlink()
        await store.start()
        if not lost:
            await store.add([TaskDraft(name, b"{}", 0) for name in "fffgg"])
            await store.settle([Completed(task.id) for task in await store.claim(2)])
        totals = {text: (await store.find(parse(text))).total for text in ("", "status=complete", "functionName=g")}
        assert totals == {"": 5, "status=complete": 2, "functionName=g": 2}
        await store.stop()


@pytest.mark.parametrize("large", [{2}, {1, 3}, {1, 2, 3}])
def test_a_page_with_large_tasks_is_whole(large: set[int]) -> None:
    tasks = [
        replace(a_task(seq, Status.NEW), data=json.dumps({"x": "\u00e9" * (70_000 if seq in large else 1)}).encode())
        for seq in (1, 2, 3)
    ]
    with closing(MemoryCatalogue()) as catalogue:
        catalogue.write(upserts(tasks))
        assert catalogue.page(parse("sort(-id)")).rows == tasks[::-1]
        assert catalogue.page(parse("")).total == 3
