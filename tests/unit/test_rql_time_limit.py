"""The time limit of listings holds whatever a query makes the catalogue do."""

import json
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskd.model.errors import LONG_QUERY, ContractError
from taskd.model.status import Status
from taskd.model.task import Task
from taskd.rql.parser import parse
from taskd.store.embedded.catalogue import queries
from taskd.store.embedded.catalogue.reader import CatalogueReader
from taskd.store.embedded.catalogue.rows import COLUMNS, row
from taskd.store.embedded.catalogue.schema import open_catalogue

TIME_LIMIT_S = 0.3


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[CatalogueReader]:
    """Of a catalogue in which searching for ``a.{300}b`` would take a minute."""
    path = tmp_path / "catalogue.sqlite"
    writer = open_catalogue(path, 0)
    letters = "".join(random.Random(7).choices("ac", k=1_000_000))
    data = json.dumps({"text": letters, "texts": [letters]}).encode()
    task = Task(f"{1:024x}", 1, "f", data, 0, 0, 0, Status.NEW, 0, created_by_user_id=letters)
    writer.execute(f"INSERT INTO tasks ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})", row(task))
    reader = CatalogueReader(path, TIME_LIMIT_S, 1)
    yield reader
    reader.close()
    writer.close()


@pytest.mark.parametrize("text", ["data.text=re:{}", "data.texts=re:{}", "data.texts.0=re:{}", "createdByUserId=re:{}"])
async def test_search_for_a_hostile_pattern_is_stopped_at_the_limit(reader: CatalogueReader, text: str) -> None:
    begin_s = time.monotonic()
    with pytest.raises(ContractError) as error:
        await reader.read(queries.tasks(parse(text.format("a.{300}b"))))
    assert error.value.kind is LONG_QUERY
    assert time.monotonic() - begin_s < 10 * TIME_LIMIT_S
    page = await reader.read(queries.tasks(parse("status=new&skipCount()&select(id)")))
    assert len(page.rows) == 1
