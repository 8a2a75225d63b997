"""On whose behalf a listing is read decides about turns, never about what is found."""

import pytest

from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import TaskStore


@pytest.mark.parametrize("text", ["", "sort(-priority)", "data.n=1"])
async def test_a_page_is_the_same_for_whoever_asks(store: TaskStore, text: str) -> None:
    await store.add([TaskDraft("f", b'{"n":1}', 0), TaskDraft("f", b'{"n":2}', 0)])
    query = parse(text)
    assert await store.find(query, on_behalf_of="a") == await store.find(query)
    assert await store.find_api_requests(parse(""), on_behalf_of="a") == await store.find_api_requests(parse(""))
    assert await store.find_function_logs("f", 0, 1, 0, 10, on_behalf_of="a") == []
