"""A listing that asks for functions and statuses goes by the index that leaves less to look at, and finds the same."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from support.store.catalogues import MemoryCatalogue, on_the_wire
from support.store.naive_filter import naive_matches

from taskd.model.status import Status
from taskd.model.task import Task
from taskd.rql.parser import parse
from taskd.store.embedded.catalogue.statements import upserts

AMOUNTS = {
    ("f", Status.COMPLETE): 40,
    ("f", Status.NEW): 2,
    ("g", Status.NEW): 3,
    ("g", Status.FAILED): 9,
    ("h", Status.FAILED): 1,
}
"""42 tasks of f, 12 of g, one of h; 40 are complete, 10 failed, 5 new."""


def tasks() -> list[Task]:
    kinds = [kind for kind, amount in AMOUNTS.items() for _ in range(amount)]
    return [
        Task(f"{seq:024x}", seq, name, b'{"n":%d}' % (seq % 2), 0, 0, seq * 7 % 11, status, 0)
        for seq, (name, status) in enumerate(kinds, 1)
    ]


@pytest.fixture(scope="module")
def catalogue() -> Iterator[MemoryCatalogue]:
    with closing(MemoryCatalogue()) as catalogue:
        catalogue.write(upserts(tasks()))
        yield catalogue


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("functionName=f&status=new", "tasks_status"),
        ("functionName=f&status=new&sort(-creationTimestamp)&skipCount()", "tasks_status"),
        ("functionName=f&in(status,new,inProgress)&data.n=1", "tasks_status"),
        ("functionName=h&status=failed", "tasks_function"),
        ("in(functionName,g,h)&status=complete", "tasks_function"),
        ("functionName=f&status=canceled&sort(functionName)", "tasks_status"),
        ("functionName=unheard-of&status=complete", "tasks_function"),
        ("functionName=f&status=re:new", "tasks_function"),
        ("functionName=g&status>=complete", "tasks_function"),
        ("functionName=re:f&status=new", "tasks_status"),
        ("status=new&status=failed&functionName=f", "tasks_status"),
        ("or(functionName=f,status=new)", "tasks"),
    ],
)
def test_the_shorter_way_is_gone_and_leads_to_the_same(catalogue: MemoryCatalogue, text: str, index: str) -> None:
    query = parse(text)
    assert query.where is not None
    expected = [task for task in tasks() if naive_matches(on_the_wire(task), query.where)]
    page = catalogue.page(query)
    assert f"USING INDEX {index}" in catalogue.plan(query).replace("COVERING ", "")
    assert {task.seq for task in page.rows} <= {task.seq for task in expected}
    assert len(page.rows) == min(query.limit, len(expected))
    assert page.total == (None if query.skip_count else len(expected))
