"""Which OAuth 1 timestamps requests may have come with, kept over restarts: nonces are only in memory.

All that an earlier process took has a timestamp up to a mark, and is refused. There is one mark for all whose clocks
are not ahead of ours, and one for each token (or application on its own) whose client's clock is. A mark is set a
little ahead and moved before the request that passes it goes on, so that a client costs no write but once in a while,
and waits after a restart no longer than that little, by its own clock.

The marks are a node's own, as the nonces are.
"""

import asyncio
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.system.record_file import DamagedRecordError, RecordFile

log = logging.getLogger(__name__)

FILE_NAME = "oauth1.marks"
LEAD_S = 1
"""How far a mark is set ahead; with whole seconds, it moves every two seconds."""
AHEAD_MAX = 1_000
"""Clients whose clocks are ahead, at once."""
_RECORD_MAX_BYTES = 16 + 20 * AHEAD_MAX


class _Marks(Struct, array_like=True):
    common_s: int = 0
    ahead_s: dict[int, int] = {}
    """By a digest of who signs; none that is not past the common one."""

    def cover(self, timestamp_s: int, signer: str) -> bool:
        """Whether a request of ``signer`` with this timestamp is not past its mark."""
        if timestamp_s <= self.common_s or not self.ahead_s:
            return timestamp_s <= self.common_s
        return timestamp_s <= self.ahead_s.get(_digest(signer), 0)


class ReplayMarks:
    """The marks of the earlier processes, which hold, and those of this one, which are kept at ``path``."""

    def __init__(self, path: Path) -> None:
        self._file = RecordFile(path, _RECORD_MAX_BYTES)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="marks")
        self._lock = asyncio.Lock()
        self._earlier = _Marks()
        self._durable = _Marks()

    def start(self, now_s: int, window_s: int) -> None:
        """Reads the marks of the process before. If they are damaged, nothing within ``window_s`` is taken."""
        try:
            content = self._file.read()
            found = _Marks() if content is None else msgspec.msgpack.decode(content, type=_Marks)
        except (OSError, DamagedRecordError, msgspec.DecodeError) as error:
            found = _Marks(now_s + window_s)
            log.error("OAuth 1 requests are refused for %d s, since %s: %s", window_s, self._file.path, error)
        self._earlier = self._durable = found
        if found.common_s > now_s + window_s:
            until = datetime.fromtimestamp(found.common_s, UTC)
            message = "The clock was set back, so OAuth 1 requests are refused until %s: some may have come before. %s"
            advice = f"If nobody can have recorded any, stop taskd and delete {self._file.path}."
            log.error(message, until.isoformat(), advice)

    def check(self, timestamp_s: int, signer: str) -> None:
        """Raises ``ContractError`` (``REPLAYED``) if the process before may have taken this request.

        ``signer`` tells who has signed: an application, and the token it has.
        """
        if self._earlier.cover(timestamp_s, signer):
            raise ContractError(errors.REPLAYED, "This service was started anew after the request; sign it anew.")

    async def move(self, timestamp_s: int, signer: str, now_s: int) -> None:
        """Makes sure that the next process knows that a request of ``signer`` came with this timestamp.

        :raises ContractError: ``REPLAYED`` if too many clocks are ahead; ``UNAVAILABLE`` if it cannot be kept.
        """
        if self._durable.cover(timestamp_s, signer):
            return
        async with self._lock:
            if not self._durable.cover(timestamp_s, signer):  # else another request has moved it meanwhile
                await self._write(_moved(self._durable, timestamp_s, signer, now_s))

    def close(self) -> None:
        """Ends the thread, once it is done, and closes the file."""
        self._thread.shutdown()
        self._file.close()

    async def _write(self, marks: _Marks) -> None:
        try:
            content = msgspec.msgpack.encode(marks)
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.write, content)
        except OSError as error:
            log.error("OAuth 1 requests are refused, since %s cannot be written: %s.", self._file.path, error)
            message = "That the request came cannot be kept now, so it might be sent twice; the log says why."
            raise ContractError(errors.UNAVAILABLE, message) from None
        self._durable = marks


def _moved(marks: _Marks, timestamp_s: int, signer: str, now_s: int) -> _Marks:
    common_s = max(marks.common_s, now_s + LEAD_S)
    ahead_s = {other: mark_s for other, mark_s in marks.ahead_s.items() if mark_s > common_s}
    if timestamp_s <= common_s:
        return _Marks(common_s, ahead_s)
    if len(ahead_s) >= AHEAD_MAX and _digest(signer) not in ahead_s:
        message = f"oauth_timestamp is ahead of this service's clock, which says {now_s}; set the client's clock."
        raise ContractError(errors.REPLAYED, message)
    return _Marks(common_s, {**ahead_s, _digest(signer): timestamp_s + LEAD_S})


def _digest(signer: str) -> int:
    return int.from_bytes(hashlib.blake2b(signer.encode("utf-8", "surrogateescape"), digest_size=8).digest())
