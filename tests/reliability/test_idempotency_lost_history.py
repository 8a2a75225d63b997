"""A key outlives the record of what was created under it, when the catalogue is lost: that is said, and not hidden."""

from pathlib import Path

import pytest
from support.clocks import FakeClock

from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

KEY = IdempotencyKey(b"a key", b"a request")
DRAFT = TaskDraft("f", b"{}", 0)


async def started(data: Path) -> EmbeddedStore:
    """With a segment for every frame, so that all but the last can be compacted away."""
    store = EmbeddedStore(StoreSettings(data=str(data), segment_mib=0), FakeClock())
    await store.start()
    return store


def lose_catalogue(data: Path) -> None:
    for file in data.glob("catalogue.db*"):
        file.unlink()


async def test_what_is_no_longer_known_is_neither_made_up_nor_created_again(tmp_path: Path) -> None:
    store = await started(tmp_path)
    [task] = await store.add([DRAFT], KEY)
    await store.claim(1)
    await store.settle([Completed(task.id)])
    other = await store.add([DRAFT])  # when this is written, the segment before it is sealed
    await store.compact()
    await store.stop()
    lose_catalogue(tmp_path)
    store = await started(tmp_path)
    with pytest.raises(ContractError, match="no longer kept") as raised:
        await store.add([DRAFT], KEY)
    assert raised.value.kind is RESOURCE_UNKNOWN
    assert (await store.find(parse(""))).rows == other
    await store.stop()
