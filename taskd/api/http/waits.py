"""Requests that wait for something to happen: they take no place of those that have work done for them.

A client asks for it with ``?wait=SECONDS`` or the header ``Prefer: wait=SECONDS`` (RFC 7240).
"""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import web

from taskd.api.http.admission import Admission
from taskd.model import errors, limits
from taskd.model.errors import ContractError

T = TypeVar("T")

WAIT_PARAMETER = "wait"
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_PREFERENCE = re.compile(r'(?:^|[,\s])wait\s*=\s*"?(\d{1,9})(?![\w.])', re.ASCII | re.IGNORECASE)


def wait_s(request: web.Request) -> float:
    """How long the client of ``request`` would wait, in seconds; 0 if it says nothing of it.

    A preference is only that: one that is too long is taken for as long as may be, one that cannot be read for none.

    :raises ContractError: ``FIELD_FORMAT`` for a parameter that is no number from 0 to the longest wait.
    """
    longest_s = limits.TASK_WAIT_MAX_S
    text = request.query.get(WAIT_PARAMETER)
    if text is None:
        preferred = _PREFERENCE.search(request.headers.get("Prefer", ""))
        return min(float(preferred[1]), longest_s) if preferred else 0
    if not _SECONDS.fullmatch(text) or float(text) > longest_s:
        message = f"{WAIT_PARAMETER} must be a number of seconds from 0 to {longest_s}."
        raise ContractError(errors.FIELD_FORMAT, message)
    return float(text)


class Waits:
    """All requests that wait."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._waiting: set[asyncio.Task[Any]] = set()
        self._ended = False

    async def outcome(self, work: Coroutine[Any, Any, T], longest_s: float) -> T | None:
        """What ``work`` gives; ``None`` if it takes longer than ``longest_s``, or than the server goes on.

        Meanwhile the request counts as none: only connections limit how many wait.
        """
        if self._ended:
            work.close()
            return None
        waiting = asyncio.create_task(work)
        self._waiting.add(waiting)
        self._admission.leave(0)
        try:
            await asyncio.wait([waiting], timeout=longest_s)
        finally:
            self._admission.enter_again(0)
            self._waiting.discard(waiting)
            waiting.cancel()  # no effect on one that is done
        return waiting.result() if waiting.done() and not waiting.cancelled() else None

    async def end(self, _: web.Application) -> None:
        """The server stops: nobody waits any longer."""
        self._ended = True
        for waiting in self._waiting:
            waiting.cancel()
