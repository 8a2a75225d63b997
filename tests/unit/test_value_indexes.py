"""Indexes on tags and on fields of data: what they are used for, how they come about; they leave nothing out."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.store.catalogues import MemoryCatalogue

from taskd.model import task as transitions
from taskd.model.task import Task, TaskDraft
from taskd.rql.operators import COMPARISONS
from taskd.rql.parser import parse
from taskd.store.embedded.catalogue import queries
from taskd.store.embedded.catalogue.scalar_values import TAGS
from taskd.store.embedded.catalogue.schema import migrate
from taskd.store.embedded.catalogue.sql.lookups import Bound, FoundRecently
from taskd.store.embedded.catalogue.value_indexes import RUN_TASKS, ValueIndexes
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

PATIENT = ("data", "patient")
LONG = "x" * 1000


def task_of(seq: int, data: object, tags: tuple[str, ...] = ()) -> Task:
    draft = TaskDraft("f", json.dumps(data).encode(), seq, tags=tags)
    return transitions.create(draft, f"{seq:024x}", seq, seq)


@pytest.fixture
def catalogue() -> Iterator[MemoryCatalogue]:
    with closing(MemoryCatalogue([PATIENT])) as made:
        yield made


@pytest.mark.parametrize(
    "text",
    [
        *("tags=a", "in(tags,a,b)", "data.patient=7", "data.patient=string:7", "data.patient>=7", "lt(data.patient,b)"),
        *("tags=a&status=failed&data.n=1", "data.patient=7&sort(-creationTimestamp)", "tags=a&sort(data.n)"),
    ],
)
def test_a_condition_on_an_indexed_field_is_looked_up(text: str, catalogue: MemoryCatalogue) -> None:
    listing = queries.tasks(parse(text), catalogue.value_indexes)
    assert listing.has_lookups
    listing.choose(catalogue.connection)
    assert not listing.scans


@pytest.mark.parametrize(
    "text",
    [
        *("tags!=a", "out(tags,a)", "like(tags,a)", "tags=re:a", "contains(tags)", "tags.0=a", "data.patient=null"),
        *("data.patient=true", "data.n=1", "data.patient.x=1", "or(tags=a,status=new)", "data=1", "in(tags,null,a)"),
        f"in(tags,{','.join(map(str, range(101)))})",
    ],
)
def test_what_an_index_does_not_answer_is_not_looked_up(text: str, catalogue: MemoryCatalogue) -> None:
    assert not queries.tasks(parse(text), catalogue.value_indexes).has_lookups


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *[("data.patient=string:" + LONG, [1]), ("data.patient=7", [2, 3]), ("data.patient=7.0", [2, 3])],
        *[("gt(data.patient,string:w)", [1]), ("data.patient<8", [2, 3]), ("data.patient=string:7", [4])],
        *[("tags=a", [2]), ("in(tags,a,b)", [2, 3]), ("tags=a&data.patient=7", [2]), ("tags=zz", [])],
    ],
)
def test_nothing_that_is_there_is_left_out(text: str, found: list[int], catalogue: MemoryCatalogue) -> None:
    rows = [
        *(task_of(1, {"patient": LONG}), task_of(2, {"patient": 7}, ("a", "b", "a"))),
        *(task_of(3, {"patient": [1, 7.0, None]}, ("b",)), task_of(4, {"patient": "7", "x": {"patient": 7}})),
    ]
    catalogue.fill(rows)
    page = catalogue.page_by_values(parse(text))
    assert page is not None
    assert ([task.seq for task in page.rows], page.total) == (found, len(found))


def test_a_page_by_an_index_looks_at_no_more_than_it_leads_to(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"patient": seq % 100}) for seq in range(1, 2001)])
    listing = queries.tasks(parse("data.patient=7&sort(-creationTimestamp)"), catalogue.value_indexes)
    listing.choose(catalogue.connection)
    statements: list[str] = []
    catalogue.connection.set_trace_callback(statements.append)
    assert [task.seq for task in listing(catalogue.connection).rows[:2]] == [1907, 1807]
    catalogue.connection.set_trace_callback(None)
    plan = "\n".join(step for *_, step in catalogue.connection.execute(f"EXPLAIN QUERY PLAN {statements[0]}"))
    assert "SCAN tasks" not in plan
    assert "SEARCH one USING PRIMARY KEY (run=? AND value=?)" in plan
    assert "SEARCH held USING COVERING INDEX value_runs_field (field=? AND run<?)" in plan


@pytest.mark.parametrize(
    ("text", "ends", "in_memory", "in_runs"),
    [  # the range by itself (in runs with both ends), two tasks with several values, one that has to be looked at
        ("data.patient>=50&lt(data.patient,53)", 2, [3 + 2 + 1], [4 + 2 + 1]),
        ("data.patient<53&data.patient>20&data.patient>50&tags!=b", 3, [2 + 2 + 1], [4 + 2 + 1]),
        ("gt(data.patient,string:a)&le(data.patient,string:z)", 2, [1 + 1], [1 + 2 + 1]),
        ("data.patient>=50&lt(data.patient,string:a)", 2, [], []),
        ("gt(tags,a)&lt(tags,c)", 2, [], []),
    ],
)
def test_a_range_leads_to_what_is_between_its_ends(
    text: str, ends: int, in_memory: list[int], in_runs: list[int], catalogue: MemoryCatalogue
) -> None:
    several = [task_of(101, {"patient": [1, 100]}), task_of(102, {"patient": [1, 2, 99]})]
    rest = [task_of(103, {"patient": LONG}), task_of(104, {"patient": "b"}, ("a", "c"))]
    catalogue.fill([task_of(seq, {"patient": seq}) for seq in range(1, 101)] + several + rest)
    query = parse(text)
    expected = [task.seq for task in catalogue.page(query).rows]
    for ranges in (in_memory, in_runs):
        assert catalogue.sizes(query)[ends:] == ranges
        assert all(seqs == expected for seqs in catalogue.seqs_by_values(query))
        catalogue.write_runs()


def test_indexes_of_an_older_catalogue_are_made_again(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(1, {"patient": [1, 9]}, ("a",)), task_of(2, {"patient": 9})])
    catalogue.write_runs()
    catalogue.connection.execute("DELETE FROM task_values WHERE value = x'01'")  # as it was
    migrate(catalogue.connection, 7)
    catalogue.write_runs()
    assert catalogue.value_indexes.usable.keys() == {TAGS}
    catalogue.index_all()
    assert numbers(catalogue, "data.patient>3&data.patient<7") == [1]
    assert numbers(catalogue, "tags=a") == [1]
    assert numbers(catalogue, "data.patient=9") == [1, 2]


def test_what_was_there_is_indexed_step_by_step_and_used_when_all_is(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"n": seq}, ("a",)) for seq in range(1, 2501)])
    catalogue.value_indexes.write_recent()
    indexes = ValueIndexes(catalogue.connection, [PATIENT, ("data", "n")])
    steps = 0
    while indexes.progress is not None:
        assert ("data", "n") not in indexes.usable
        assert TAGS in indexes.usable
        assert indexes.step()
        steps += 1
    assert steps == 3
    assert not indexes.step()
    catalogue.value_indexes = indexes
    page = catalogue.page_by_values(parse("data.n=2400"))
    assert page is not None
    assert [task.seq for task in page.rows] == [2400]


def test_large_data_is_indexed_in_smaller_steps(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"n": seq, "padding": "x" * 600_000}) for seq in range(1, 6)])
    indexes = ValueIndexes(catalogue.connection, [PATIENT, ("data", "n")])
    assert [indexes.step() for _ in range(4)] == [True, True, True, False]
    assert ("data", "n") in indexes.usable


def steps_of(indexes: ValueIndexes) -> int:
    steps = 0
    while indexes.step():
        steps += 1
    return steps


def numbers(catalogue: MemoryCatalogue, text: str) -> list[int]:
    page = catalogue.page_by_values(parse(text + "&limit(100)"))
    assert page is not None
    assert page.total == len(page.rows)
    return [task.seq for task in page.rows]


def found_recently(catalogue: MemoryCatalogue, tag: str) -> FoundRecently:
    return catalogue.value_indexes.found_recently(
        catalogue.value_indexes.usable[TAGS], [Bound(COMPARISONS["eq"], (tag,))]
    )


def written(catalogue: MemoryCatalogue) -> tuple[int, int]:
    """How many runs there are, and how many values are in them."""
    counted = "SELECT (SELECT count(*) FROM value_runs), (SELECT count(*) FROM task_values)"
    runs, values = catalogue.connection.execute(counted).fetchone()
    return runs, values


def test_indexing_that_is_interrupted_goes_on(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"n": seq}) for seq in range(1, RUN_TASKS + 2500)])
    begun = ValueIndexes(catalogue.connection, [PATIENT, ("data", "n")])
    for _ in range(RUN_TASKS // 1000 + 2):
        assert begun.step()
    catalogue.value_indexes = again = ValueIndexes(catalogue.connection, [PATIENT, ("data", "n")])
    assert 0 < steps_of(again) <= 3
    assert numbers(catalogue, "data.n>=10000&data.n<10003") == [10000, 10001, 10002]
    assert numbers(catalogue, "data.n<=2") == [1, 2]


def test_the_values_of_many_tasks_are_written_at_once(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"patient": seq % 3000}, ("a",)) for seq in range(1, RUN_TASKS + 1)])
    assert written(catalogue) == (0, 0)
    before = found_recently(catalogue, "a")
    catalogue.add([task_of(RUN_TASKS + 1, {"patient": 7}, ("b",))])
    assert written(catalogue) == (2, 3001)
    after = found_recently(catalogue, "b")
    assert (len(before.seqs), before.before_run) == (RUN_TASKS, 1)  # the runs behind are in memory for this reader
    assert (after.seqs, after.before_run) == ([RUN_TASKS + 1], 3)
    assert numbers(catalogue, "data.patient=7") == [7, 3007, 6007, RUN_TASKS + 1]
    assert numbers(catalogue, "data.patient>=2999&tags=a") == [2999, 5999]
    assert numbers(catalogue, "in(tags,b,c)") == [RUN_TASKS + 1]


def test_of_very_many_tasks_at_once_the_last_ones_are_in_memory(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"patient": seq // 2}, ("a",)) for seq in range(2, 2 * RUN_TASKS + 12)])
    assert written(catalogue) == (4, 2 + RUN_TASKS)
    assert len(found_recently(catalogue, "a").seqs) == 10
    assert numbers(catalogue, "in(data.patient,1,8000,8195)") == [2, 3, 16000, 16001, 16390, 16391]


@pytest.mark.parametrize("is_clean", [False, True])
def test_what_was_in_memory_is_found_after_the_next_start(is_clean: bool, catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"patient": seq}, ("a",)) for seq in range(1, RUN_TASKS + 1)])
    catalogue.add([task_of(RUN_TASKS + 1, {"patient": 7}, ("b",)), task_of(RUN_TASKS + 2, {})])
    if is_clean:
        catalogue.value_indexes.write_recent()
    catalogue.value_indexes = ValueIndexes(catalogue.connection, [PATIENT])
    assert (catalogue.value_indexes.progress is None) == is_clean
    assert steps_of(catalogue.value_indexes) == (0 if is_clean else 2)
    assert numbers(catalogue, "tags=b") == [RUN_TASKS + 1]
    assert numbers(catalogue, "data.patient=7") == [7, RUN_TASKS + 1]
    assert written(catalogue) == (4, 1 + RUN_TASKS + 2)


def test_what_may_be_in_runs_and_was_in_memory_is_not_there_twice_after_a_crash(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {}, ("a",)) for seq in range(5, RUN_TASKS + 5)])
    catalogue.add([task_of(1, {}, ("a",))])
    assert written(catalogue) == (1, 1)
    catalogue.value_indexes = ValueIndexes(catalogue.connection, [PATIENT])
    assert written(catalogue) == (0, 0)
    assert steps_of(catalogue.value_indexes) > 0
    assert numbers(catalogue, "tags=a&creationTimestamp<7") == [1, 5, 6]


def test_what_is_rolled_back_is_not_found_and_may_be_noted_again(catalogue: MemoryCatalogue) -> None:
    indexes, task = catalogue.value_indexes, task_of(1, {}, ("a",))
    indexes.note([task])
    assert found_recently(catalogue, "a").seqs == []
    indexes.note([task])
    indexes.keep_noted()
    assert found_recently(catalogue, "a").seqs == [1]


def test_nothing_is_kept_of_tasks_that_are_forgotten(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"patient": seq}, ("a", str(seq % 2))) for seq in range(1, RUN_TASKS + 1)])
    catalogue.add([task_of(RUN_TASKS + 1, {"patient": LONG}, ("a",))])
    gone = [1, 2, 3, RUN_TASKS + 1]
    catalogue.value_indexes.forget(gone)
    assert found_recently(catalogue, "a").seqs == []
    held = [json.loads(str(seqs)) for (seqs,) in catalogue.connection.execute("SELECT seqs FROM task_values")]
    assert not set(gone) & {seq for each in held for seq in (each if isinstance(each, list) else [each])}
    for begin in range(4, RUN_TASKS + 1, 1024):
        catalogue.value_indexes.forget(range(begin, min(begin + 1024, RUN_TASKS + 1)))
    assert written(catalogue) == (0, 0)


def test_an_index_that_is_no_longer_wanted_goes_and_may_come_back(catalogue: MemoryCatalogue) -> None:
    catalogue.fill([task_of(seq, {"patient": seq}) for seq in range(1, 2501)])
    catalogue.value_indexes.write_recent()
    assert written(catalogue) == (1, 2500)
    without = ValueIndexes(catalogue.connection, [])
    assert PATIENT not in without.usable
    while without.step():
        pass
    assert written(catalogue) == (0, 0)
    assert catalogue.connection.execute("SELECT path FROM value_fields").fetchall() == [('["tags"]',)]
    catalogue.value_indexes = ValueIndexes(catalogue.connection, [PATIENT])
    catalogue.index_all()
    page = catalogue.page_by_values(parse("data.patient=9"))
    assert page is not None
    assert [task.seq for task in page.rows] == [9]


async def test_a_store_that_is_told_of_a_field_indexes_what_it_has(tmp_path: Path) -> None:
    settings = StoreSettings(data=str(tmp_path / "data"))
    store = EmbeddedStore(settings, FakeClock())
    await store.start()
    await store.add([TaskDraft("f", b'{"patient":%d}' % number, 0) for number in range(50)])
    await store.stop()
    store = EmbeddedStore(StoreSettings(data=settings.data, indexes=("data.patient",)), FakeClock())
    await store.start()
    await store.add([TaskDraft("f", b'{"patient":7}', 0)])
    page = await store.find(parse("data.patient=7"))
    while (await store.status()).indexing:
        await store.find(parse("limit(1)"))
    assert await store.find(parse("data.patient=7")) == page
    assert (len(page.rows), page.total) == (2, 2)
    await store.stop()
