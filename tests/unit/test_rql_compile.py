"""Queries compiled to SQL: what they find, that they use the indexes, and that nothing can be injected."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from support.store.catalogues import MemoryCatalogue

from taskd.model.limits import RQL_CONDITIONS_MAX, RQL_MAX_BYTES, RQL_VALUES_MAX
from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskError
from taskd.rql.coerce import Kind
from taskd.rql.errors import RqlError
from taskd.rql.parser import parse
from taskd.store.embedded.catalogue.sql.compile import compile_filter, compile_order
from taskd.store.embedded.catalogue.sql.fields import TASKS, Field, Resource

NEW_YEAR_MS = 1_767_225_600_000
Find = Callable[..., list[int]]


def task(seq: int, data: Any = "{}", **fields: Any) -> Task:
    defaults: dict[str, Any] = {
        "function_name": "f",
        "start_ms": 0,
        "priority": 0,
        "creation_ms": 0,
        "status_changed_ms": 0,
    }
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return Task(**{"id": f"{seq:024x}", "seq": seq, "status": Status.NEW, "data": text.encode(), **defaults, **fields})


@pytest.fixture(scope="module")
def catalogue() -> Iterator[MemoryCatalogue]:
    with closing(MemoryCatalogue()) as made:
        yield made


@pytest.fixture
def find(catalogue: MemoryCatalogue) -> Find:
    def found(text: str, *tasks: Task) -> list[int]:
        catalogue.fill(list(tasks))
        return [int(task_id, 16) for task_id in catalogue.find(parse(text))]

    return found


DOCUMENTS = [
    task(1, {"n": 1, "s": "Hello Wörld", "o": {"k": "v"}, "items": [{"n": 1, "name": "a"}, {"n": 5, "name": "b"}]}),
    task(2, {"n": "1", "s": ["x", "hello"], "o": {"k": ["v", "w"]}, "items": {"n": 7, "name": "a"}}),
    task(3, {"n": True, "s": None, "o": [], "items": []}),
    task(4, {"n": 1.0, "list": [1, None, [2], "2"], "day": "2026-01-01T00:00:00Z"}),
    task(5, {"a.b": 1, 'q"uote': 1, "é": 1, "": {"": 1}, "0": 1, "back\\slash": 1, "sl/ash": 1}),
    task(6, r'{"\u006e": 1, "\u00e9": 2, "big": 9223372036854775808, "huge": 1e400, "half": ["\ud800"]}'),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.n=1", [1, 4, 6]),
        ("data.n=string:1", [2]),
        ("data.n=true", [3]),
        ("data.n=number:1.0", [1, 4, 6]),
        ("data.n!=1", [2, 3, 5]),
        ("data.n=in=(1,true)", [1, 3, 4, 6]),
        ("data.n=out=(1,true)", [2, 5]),
        ("data.n>=1", [1, 4, 6]),
        ("data.n>string:0", [2]),
        ("data.n=null", [5]),
        ("data.s=null", [3, 4, 5, 6]),
        ("data.s!=null", [1, 2]),
        ("data.list=null", [1, 2, 3, 4, 5, 6]),
        ("data.list=2", []),
        ("data.list.2.0=2", [4]),
        ("data.list=string:2", [4]),
        ("like(data.s,HELLO)", [1, 2]),
        ("like(data.s,W%25C3%2596R)", [1]),
        ("like(data.n,1)", [2]),
        ("data.s=re:^h", [1, 2]),
        ("data.s=RE:^h", [2]),
        ("data.s=glob:*W?rld", [1]),
        ("data.s=in=(x,re:rld$)", [1, 2]),
        ("data.o.k=v", [1, 2]),
        ("data.o.k.0=v", [2]),
        ("data.items.n=5", [1]),
        ("data.items.n=7", [2]),
        ("data.items.1.name=b", [1]),
        ("data.items.n>1", [1, 2]),
        ("contains(data.items)", [1, 2, 3]),
        ("excludes(data.items)", [4, 5, 6]),
        ("contains(data.items.n)", [1, 2]),
        ("contains(data.items,n=1,name=a)", [1]),
        ("contains(data.items,n=1,name=b)", []),
        ("contains(data.items,n=7)", [2]),
        ("excludes(data.items,n>0)", [3, 4, 5, 6]),
        ("contains(data,n=1)", [1, 4, 6]),
        ("contains(data.s)", [1, 2, 3]),
        ("data.day=2026-01-01T00:00:00Z", [4]),
        ("data.day=2026-01-01T01:00:00+01:00", []),
        ("data.day>=isodate:2026", [4]),
        ("data.a%252Eb=1", [5]),
        ("data.q%2522uote=1", [5]),
        ("data.é=1", [5]),
        ("data.é=2", [6]),
        ("data..=1", [5]),
        ("data.0=1", [5]),
        ("data.back\\slash=1", [5]),
        ("data.sl%252Fash=1", [5]),
        ("data.big=number:9223372036854775808", [6]),
        ("data.huge>1", [6]),
        ("contains(data.half.0)", [6]),
        ("data=1", []),
        ("data=null", []),
        ("data=1|data.n=true", [3]),
        ("nothing=null&nothing!=1", [1, 2, 3, 4, 5, 6]),
        ("nothing=1|contains(nothing)|status.x=1", []),
        ("excludes(nothing)&excludes(status.x)", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_filter_on_data_finds(find: Find, text: str, expected: list[int]) -> None:
    assert find(text, *DOCUMENTS) == expected


FIELDS = [
    task(1, tags=("urgent", "Paris"), priority=5, start_ms=NEW_YEAR_MS, created_by_user_id="u"),
    task(2, tags=("2024",), function_name="123", status=Status.FAILED, error=TaskError(ErrorType.RUNTIME, "404", "é")),
    task(3, retry_for_task_ids=(f"{1:024x}", f"{2:024x}"), creation_ms=NEW_YEAR_MS, status_changed_ms=NEW_YEAR_MS),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status=failed", [2]),
        ("status!=failed", [1, 3]),
        ("status=re:%255E%2528new%257Ccanceled%2529%2524", [1, 3]),
        ("like(status,FAIL)", [2]),
        ("functionName=123", [2]),
        ("functionName=number:123", []),
        ("functionName>f", []),
        ("functionName>=f", [1, 3]),
        ("tags=2024", [2]),
        ("tags=number:2024", []),
        ("tags=urgent", [1]),
        ("contains(tags,urgent)", [1]),
        ("excludes(tags,urgent)", [2, 3]),
        ("like(tags,par)", [1]),
        ("tags.0=urgent", [1]),
        ("tags.1=urgent", []),
        ("tags=null", []),
        ("contains(tags)", [1, 2, 3]),
        ("contains(tags.0)", [1, 2]),
        ("priority=5", [1]),
        ("priority>1", [1]),
        ("priority=string:5", []),
        ("priority=null", []),
        ("priority=out=(5,6)", [2, 3]),
        ("like(priority,5)", []),
        ("startTimestamp=2026-01-01T01:00:00%2B01:00", [1]),
        ("startTimestamp=1767225600000", [1]),
        ("startTimestamp=string:2026-01-01T00:00:00Z", [1]),
        ("startTimestamp=date:2026-01-01", [1]),
        ("startTimestamp<2026-01-01T00:00:00Z", [2, 3]),
        ("startTimestamp=in=(0,2026-01-01T00:00:00Z)", [1, 2, 3]),
        ("updateTimestamp>0&statusChangedTimestamp>0&creationTimestamp>0", [3]),
        ("contains(startTimestamp)", [1, 2, 3]),
        ("contains(startTimestamp,a=1)|contains(status,a=1)", []),
        ("createdByUserId=u", [1]),
        ("createdByUserId!=u", [2, 3]),
        ("createdByUserId=out=(u,v)", [2, 3]),
        ("createdByUserId=null", [2, 3]),
        ("createdByUserId!=null", [1]),
        ("createdByUserId=in=(u,null)", [1, 2, 3]),
        ("createdByUserId=re:.", [1]),
        ("like(createdByUserId,%25C3%25A9)", []),
        ("error.name=404", [2]),
        ("error.name!=404", [1, 3]),
        ("error=null", [1, 3]),
        ("contains(error)", [2]),
        ("contains(error,and(type=runtime,name=404))", [2]),
        ("like(error.message,%25C3%2589)", [2]),
        ("retryForTaskIds=000000000000000000000002", [3]),
        ("contains(retryForTaskIds)", [3]),
    ],
)
def test_filter_on_fields_finds(find: Find, text: str, expected: list[int]) -> None:
    assert find(text, *FIELDS) == expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a=1&startTimestamp=tomorrow", 4),
        ("startTimestamp=null", 0),
        ("startTimestamp=true", 0),
        ("startTimestamp=re:2026", 0),
        ("startTimestamp=in=(0,x)", 0),
        ("like(startTimestamp,2026-01-01T00:00:00Z)", 0),
        ("startTimestamp>1e300", 0),
        ("a=1&data.x>null", 4),
        ("data.x>true", 0),
        ("nothing<re:x", 0),
        ("contains(data.x,gt(y,null))", 16),
    ],
)
def test_value_that_a_field_cannot_have_is_refused_with_its_place(text: str, position: int) -> None:
    with pytest.raises(RqlError) as error:
        compile_filter(parse(text).where, TASKS)
    assert error.value.position == position


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [1, 2, 3, 4, 5, 6]),
        ("limit(2,1)", [2, 3]),
        ("limit(2,9)", []),
        ("sort(-id)", [6, 5, 4, 3, 2, 1]),
        ("sort(status,-id)", [6, 5, 4, 3, 2, 1]),
        ("sort(nothing,status.x)", [1, 2, 3, 4, 5, 6]),
        ("sort(data.n)", [5, 1, 4, 6, 2, 3]),
        ("sort(-data.n)", [3, 2, 1, 4, 6, 5]),
        ("sort(-data.items.1.n,data.é)", [1, 2, 3, 4, 5, 6]),
        ("sort(-data.é)", [6, 5, 1, 2, 3, 4]),
    ],
)
def test_order_and_page(find: Find, text: str, expected: list[int]) -> None:
    assert find(text, *DOCUMENTS) == expected


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("status=failed", "tasks_status (status=?)"),
        ("status=in=(new,failed)", "tasks_status (status=?)"),
        ("functionName=f&data.n=1", "tasks_function (function_name=?)"),
        ("creationTimestamp>=2026-01-01T00:00:00Z&sort(creationTimestamp)", "tasks_creation (creation_ms>?)"),
        ("startTimestamp>0&startTimestamp<9", "tasks_start (start_ms>? AND start_ms<?)"),
        ("id=000000000000000000000001", "(id=?)"),
        ("sort(-creationTimestamp)", "SCAN tasks USING COVERING INDEX tasks_creation"),
        ("sort(startTimestamp)", "SCAN tasks USING COVERING INDEX tasks_start"),
        ("status=failed&sort(-creationTimestamp)", "tasks_status (status=?)"),
        ("functionName=f&status=failed&sort(-creationTimestamp)", "tasks_"),
    ],
)
def test_index_is_used(catalogue: MemoryCatalogue, text: str, index: str) -> None:
    assert index in catalogue.plan(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        *("", "status=failed", "functionName=f", "sort(creationTimestamp)", "sort(id)"),
        *("status=failed&sort(-creationTimestamp)", "functionName=f&sort(-creationTimestamp)"),
    ],
)
def test_indexed_order_needs_no_sorting(catalogue: MemoryCatalogue, text: str) -> None:
    plan = catalogue.plan(parse(text))
    assert "TEMP B-TREE" not in re.sub("USE TEMP B-TREE FOR (RIGHT PART|LAST TERM) OF ORDER BY", "", plan)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.s=a/b", [1, 2, 3]),
        ("data.s=string:a%252Fb", [1, 2, 3]),
        ("in(data.s,a/b,other)", [1, 2, 3]),
        ("data.s!=a/b", [4, 5]),
        ("data.s='a\"b'", [4]),
        ("in(data.s,1,2,3,4,5,6,7,8,a/b)", [1, 2, 3]),
    ],
)
def test_a_string_is_found_however_it_was_escaped(find: Find, text: str, expected: list[int]) -> None:
    documents = [r'{"s":"a/b"}', r'{"s":"a\/b"}', r'{"s":["\u0061/b"]}', r'{"s":"a\"b"}', r'{"s":"other a/b"}']
    assert find(text, *(task(seq, document) for seq, document in enumerate(documents, 1))) == expected


def test_documents_without_the_string_are_not_parsed() -> None:
    assert "(instr(data, ?) > 0 OR instr(data, '\\') > 0) AND " in compile_filter(parse("data.s=x").where, TASKS).text


def test_nothing_of_a_value_or_a_name_gets_into_the_sql() -> None:
    text = "data.m1%2527%2522%252D%252D=m2'%3B&data.m3=m4'%3B&tags=re:m5'&sort(data.m6%2527)&like(status,m7')&m8=m9"
    query = parse(text)
    sql = compile_filter(query.where, TASKS) + compile_order(query.sort, TASKS)
    assert not re.search(r"m\d|--", sql.text)


def test_compiler_serves_any_resource() -> None:
    requests = Resource({"duration": Field("seconds", Kind.NUMBER), "path": Field("path", Kind.TEXT)}, "number")
    query = parse("duration>=0.5&like(path,X)&sort(-duration)")
    where = compile_filter(query.where, requests)
    assert where.text == "(seconds >= ? AND instr(lower(path), ?) > 0)"
    assert where.params == (0.5, "x")
    assert compile_order(query.sort, requests).text == "seconds DESC, number"


def alternating(levels: int, width: int) -> str:
    text = "tags=a"
    for level in range(levels):
        text = f"{'or' if level % 2 else 'and'}({','.join([text] + ['tags=a'] * width)})"
    return text


def bushy(leaves: int, op: str = "and") -> str:
    if leaves == 1:
        return "data.a=1"
    other = "or" if op == "and" else "and"
    return f"{op}({bushy(leaves // 2, other)},{bushy(leaves - leaves // 2, other)})"


@pytest.mark.parametrize(
    "text",
    [
        "|".join(["data.a=1"] * RQL_CONDITIONS_MAX),
        "&".join(["tags!=a"] * RQL_CONDITIONS_MAX),
        f"in(data.a,({','.join(map(str, range(RQL_VALUES_MAX)))}))",
        f"in(data.a,({','.join('1' * RQL_VALUES_MAX)}))",
        "data" + ".a" * 8_188 + "=1",
        "sort(" + ",".join(["data" + ".a" * 500] * 16) + ")",
        alternating(32, 1),
        alternating(32, 6),
        bushy(125),
        "contains(data.i," * 32 + "x=1" + ")" * 32,
    ],
)
def test_sql_stays_within_the_limits_of_sqlite(find: Find, text: str) -> None:
    assert len(text) <= RQL_MAX_BYTES
    find(text, *DOCUMENTS)
