"""Rotation of refresh tokens (RFC 9700, 4.14.2): which were used, so that one that two parties have is found out.

The refresh tokens of one login are a family, numbered from 0. The first use of each makes its successor, and so does
every other within :data:`GRACE_S`, since clients refresh once for each of several parallel calls. A use later than that
ends the family: either party may be the thief.

Kept in SQLite, durably, a row for each login that was refreshed and is still good. The file is a node's own or shared
by nodes of one machine; nodes elsewhere must share it behind a store, or one refuses what another has issued.
"""

import asyncio
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from taskd.auth.tokens import Claims
from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.system.files import make_directory, open_private, sync_directory

log = logging.getLogger(__name__)

FILE_NAME = "logins.sqlite"
GRACE_S = 60
"""How long after its first use a token gives the same successor again."""
FAMILIES_MAX = 1_000
"""Refreshed logins of one user through one application; the oldest end for more."""
_USES_MAX = 100
"""Of one family within the grace: a client that refreshes more often has no use for older ones."""
_LOCK_TIMEOUT_S = 10.0
_LOCK_POLL_S = 0.01
_SCHEMA = """
CREATE TABLE IF NOT EXISTS families (
    id TEXT PRIMARY KEY, login TEXT NOT NULL, newest INTEGER NOT NULL, expiry_ms INTEGER NOT NULL,
    ended INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS families_by_login ON families (login, id);
CREATE INDEX IF NOT EXISTS families_by_expiry ON families (expiry_ms);
CREATE TABLE IF NOT EXISTS uses (
    family TEXT, number INTEGER, used_ms INTEGER NOT NULL, successor_expiry_ms INTEGER NOT NULL,
    PRIMARY KEY (family, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (login TEXT PRIMARY KEY, family TEXT NOT NULL) WITHOUT ROWID;
"""
_PUT_FAMILY = """
INSERT INTO families VALUES (?, ?, ?, ?, 0)
ON CONFLICT (id) DO UPDATE SET newest = excluded.newest, expiry_ms = max(expiry_ms, excluded.expiry_ms)
"""
_FORGET = "INSERT INTO forgotten VALUES (?, ?) ON CONFLICT (login) DO UPDATE SET family = excluded.family"
_SURPLUS = "SELECT id FROM families WHERE login = ? ORDER BY id DESC LIMIT -1 OFFSET ?"


class RefreshRotation:
    """The families of refresh tokens that are kept at ``path``, which is made with the first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rotation")
        self._connection: sqlite3.Connection | None = None

    async def successor(self, claims: Claims, now_ms: int, expiry_ms: int) -> Claims:
        """What follows the genuine token that says ``claims``, until ``expiry_ms``; its use is durable on return.

        :raises ContractError: ``REFRESH_TOKEN_UNKNOWN`` if its family has ended, maybe just now; ``UNAVAILABLE`` if
            its use cannot be kept.
        """
        loop = asyncio.get_running_loop()
        found_ms = await loop.run_in_executor(self._thread, self._use, claims, now_ms, expiry_ms)
        if found_ms is None:
            message = "The refresh token was replaced by another one or its login has ended, so log in again."
            raise ContractError(errors.REFRESH_TOKEN_UNKNOWN, message)
        return replace(claims, number=claims.number + 1, expiry_ms=found_ms)

    def close(self) -> None:
        """Ends the thread, once it is done, and closes the file."""
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()

    def _use(self, claims: Claims, now_ms: int, expiry_ms: int) -> int | None:
        """When the successor expires; ``None`` if there is none for this token."""
        try:
            with self._transaction() as connection:
                return _use(connection, claims, now_ms, expiry_ms)
        except (sqlite3.Error, OSError) as error:
            log.error("Logins cannot be refreshed, since %s cannot be used: %s.", self._path, error)
            raise ContractError(errors.UNAVAILABLE, "Logins cannot be refreshed now; the log says why.") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            self._connection = _opened(self._path)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _opened(path: Path) -> sqlite3.Connection:
    make_directory(path.parent)
    os.close(open_private(path, os.O_RDWR))
    sync_directory(path.parent)
    connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        _log_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Has the file written ahead of. SQLite itself does not wait where another process is just doing the same."""
    deadline_s = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(_LOCK_POLL_S)
        else:
            return


def _use(connection: sqlite3.Connection, claims: Claims, now_ms: int, expiry_ms: int) -> int | None:
    newest, ended = _family(connection, claims)
    if ended or claims.number > newest:  # what is ahead was issued by a file that somebody has put away
        return None
    if claims.number == newest:
        _rotate(connection, claims, now_ms, expiry_ms)
        return expiry_ms
    found_ms = _recent(connection, claims, now_ms)
    if found_ms is None:
        log.warning("refresh_token_reused user=%s application=%s", claims.user_id, claims.application_id)
        connection.execute("UPDATE families SET ended = 1 WHERE id = ?", (claims.id,))
        connection.execute("DELETE FROM uses WHERE family = ?", (claims.id,))
    return found_ms


def _family(connection: sqlite3.Connection, claims: Claims) -> tuple[int, bool]:
    """The newest number of the token's family, and whether it has ended."""
    row = connection.execute("SELECT newest, ended FROM families WHERE id = ?", (claims.id,)).fetchone()
    if row is not None:
        return int(row[0]), bool(row[1])
    query = "SELECT 1 FROM forgotten WHERE login = ? AND family >= ?"
    return 0, connection.execute(query, (_login(claims), claims.id)).fetchone() is not None


def _recent(connection: sqlite3.Connection, claims: Claims, now_ms: int) -> int | None:
    """When the successor of a used token expires, if the use was just now."""
    query = "SELECT used_ms, successor_expiry_ms FROM uses WHERE family = ? AND number = ?"
    row = connection.execute(query, (claims.id, claims.number)).fetchone()
    # a clock that was set back must not make it last
    return int(row[1]) if row is not None and abs(now_ms - row[0]) < GRACE_S * 1000 else None


def _rotate(connection: sqlite3.Connection, claims: Claims, now_ms: int, expiry_ms: int) -> None:
    """The first use of the newest token of a family."""
    kept_ms = max(expiry_ms, claims.expiry_ms)
    connection.execute(_PUT_FAMILY, (claims.id, _login(claims), claims.number + 1, kept_ms))
    old = (claims.id, claims.number - _USES_MAX, now_ms - GRACE_S * 1000)
    connection.execute("DELETE FROM uses WHERE family = ? AND (number <= ? OR used_ms <= ?)", old)
    connection.execute("INSERT INTO uses VALUES (?, ?, ?, ?)", (claims.id, claims.number, now_ms, expiry_ms))
    expired = connection.execute("SELECT id FROM families WHERE expiry_ms <= ?", (now_ms,)).fetchall()
    surplus = connection.execute(_SURPLUS, (_login(claims), FAMILIES_MAX)).fetchall()
    if surplus:
        connection.execute(_FORGET, (_login(claims), surplus[0][0]))
    connection.executemany("DELETE FROM uses WHERE family = ?", expired + surplus)
    connection.executemany("DELETE FROM families WHERE id = ?", expired + surplus)


def _login(claims: Claims) -> str:
    return f"{claims.user_id} {claims.application_id}"
