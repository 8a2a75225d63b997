"""Large data of waiting tasks: memory has what it must be, the catalogue and the journal have it.

In its place a live task has :class:`StoredData`. That is no ``bytes``, whatever the type of the field says: where it
is taken for data by mistake, encoding it raises, so that nothing else is ever run or written.
"""

import zlib
from typing import cast

from msgspec.structs import replace

from taskd.model.task import Task

IN_MEMORY_MAX_BYTES = 1024
"""Data of a waiting task that stays in memory: reading it back takes more time than so much memory is worth."""
_CRC_BITS = 32


class StoredData(int):
    """Length and checksum of data that is kept elsewhere."""

    __slots__ = ()

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self >> _CRC_BITS

    def is_of(self, data: bytes) -> bool:
        """Whether ``data`` is what was stored."""
        return self == _described(data)


def _described(data: bytes) -> StoredData:
    return StoredData(len(data) << _CRC_BITS | zlib.crc32(data))


def stored_data(task: Task) -> StoredData | None:
    """What stands for the data of ``task``; ``None`` if it has the data itself."""
    data: object = task.data
    return data if isinstance(data, StoredData) else None


def without_large_data(task: Task) -> Task:
    """``task`` as it waits in memory."""
    if stored_data(task) is not None or len(task.data) <= IN_MEMORY_MAX_BYTES:
        return task
    return replace(task, data=cast("bytes", _described(task.data)))


def with_data(task: Task, data: bytes) -> Task:
    """``task`` as it was before :func:`without_large_data`."""
    return replace(task, data=data)
