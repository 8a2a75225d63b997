"""Passwords: scrypt hashes (RFC 7914), and checking them without holding up anything else."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from msgspec import Struct

from taskd.model import errors
from taskd.model.errors import ContractError

T = TypeVar("T")

PASSWORD_MAX_CHARS = 1024
UNUSABLE_CHAR = "\0"
"""scrypt pads its key with zeros (as HMAC does, RFC 2104), so a password could end in any number of these."""
_SALT_BYTES = 16
_HASH_BYTES = 32
_THREADS = 2
_WAITING_MAX = 32
"""Checks under way and waiting; each takes tens of MiB and a good part of a second of a core."""
_FORMAT = re.compile(r"scrypt\$(\d{1,2})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]{4,88})\$([A-Za-z0-9+/=]{4,88})")


class Cost(Struct, frozen=True):
    """scrypt's parameters N (as its logarithm), r and p: what a guess costs.

    Memory is ``2**log_n * block_size * 128`` bytes, time grows with that and ``parallelization``.
    """

    log_n: int = 15
    block_size: int = 8
    parallelization: int = 3


DEFAULT_COST = Cost()
_COST_MAX = Cost(log_n=20, block_size=16, parallelization=16)


class _Hash(Struct, frozen=True):
    cost: Cost
    salt: bytes
    digest: bytes


def hash_password(password: str, cost: Cost = DEFAULT_COST) -> str:
    """``password`` as it may be kept: ``scrypt$log_n$block_size$parallelization$salt$hash``.

    :raises ValueError: it holds :data:`UNUSABLE_CHAR`.
    """
    if UNUSABLE_CHAR in password:
        raise ValueError("a password with a zero byte is not told apart from others")
    salt = os.urandom(_SALT_BYTES)
    return _write(cost, salt, _scrypt(password, salt, cost))


def is_hash(text: str) -> bool:
    """Whether :func:`matches` can check passwords against ``text``."""
    return _parse(text) is not None


def matches(password: str, stored: str) -> bool:
    """Whether ``stored`` was made of ``password``. Takes its time; use a :class:`PasswordChecker` in a service."""
    parsed = _parse(stored)
    if parsed is None or UNUSABLE_CHAR in password:
        return False
    return hmac.compare_digest(_scrypt(password, parsed.salt, parsed.cost), parsed.digest)


def _write(cost: Cost, salt: bytes, digest: bytes) -> str:
    encoded = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join(("scrypt", str(cost.log_n), str(cost.block_size), str(cost.parallelization), *encoded))


def _parse(text: str) -> _Hash | None:
    match = _FORMAT.fullmatch(text)
    if match is None:
        return None
    cost = Cost(*(int(match[group]) for group in (1, 2, 3)))
    within = (
        1 <= cost.log_n <= _COST_MAX.log_n
        and 1 <= cost.block_size <= _COST_MAX.block_size
        and 1 <= cost.parallelization <= _COST_MAX.parallelization
    )
    try:
        salt, digest = (base64.b64decode(match[group], validate=True) for group in (4, 5))
    except binascii.Error:
        return None
    return _Hash(cost, salt, digest) if within and len(digest) == _HASH_BYTES else None


def _scrypt(password: str, salt: bytes, cost: Cost) -> bytes:
    n, r, p = 2**cost.log_n, cost.block_size, cost.parallelization
    memory_max_bytes = 128 * r * (n + p + 2)
    # keyboards differ in how they compose one and the same character
    secret = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=memory_max_bytes, dklen=_HASH_BYTES)


class PasswordChecker:
    """Checks passwords in a few threads, so that a flood of logins takes neither the loop nor all the memory."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._waiting = 0
        self._dummy_hash = _write(DEFAULT_COST, os.urandom(_SALT_BYTES), os.urandom(_HASH_BYTES))

    async def check(self, password: str, stored: str | None) -> bool:
        """Whether ``password`` is the one of ``stored``; without ``stored`` it takes as long, and is not.

        :raises ContractError: ``TOO_MANY_REQUESTS`` while too many checks wait.
        """
        right = await self._in_turn(matches, password, stored or self._dummy_hash)
        return right and stored is not None

    async def hashed(self, password: str) -> str:
        """``password`` as :func:`hash_password` writes it; raises as :meth:`check` does."""
        return await self._in_turn(hash_password, password)

    async def _in_turn(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= _WAITING_MAX:
            raise ContractError(errors.TOO_MANY_REQUESTS, "Too many logins at once; try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends the threads. Checks that still wait are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
