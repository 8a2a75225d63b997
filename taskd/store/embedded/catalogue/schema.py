"""The catalogue's tables, its connections, and what happens to a file that is not as it should be."""

import logging
import sqlite3
from pathlib import Path

from taskd.store.embedded.catalogue import counts, deliveries, event_records, free_space, value_indexes, value_runs
from taskd.store.embedded.errors import StoreError
from taskd.system.files import sync_directory

log = logging.getLogger(__name__)

VERSION = 8
"""``PRAGMA user_version``. To change the schema, raise it and add the step to it to ``_MIGRATIONS``."""

WAL_MAX_BYTES = 64 << 20
"""How long the file of the write-ahead log stays; it gets longer for a while where much is written at once."""

_CREATE = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('position', 0);
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY,          -- creation order; ids ascend with it
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    function_name TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    creation_ms INTEGER NOT NULL,
    status_changed_ms INTEGER NOT NULL,
    tags TEXT,                        -- JSON array, NULL when empty
    created_by_user_id TEXT,
    created_by_application_id TEXT,
    retried_by_task_id TEXT,
    schedule_id TEXT,
    retry_for_task_ids TEXT,          -- JSON array, NULL when empty
    error TEXT,                       -- JSON object, NULL when there is none
    data TEXT NOT NULL                -- JSON object, as it came in
);
CREATE INDEX tasks_status ON tasks (status, creation_ms);
CREATE INDEX tasks_function ON tasks (function_name, creation_ms);
CREATE INDEX tasks_creation ON tasks (creation_ms);
CREATE INDEX tasks_start ON tasks (start_ms);
CREATE TABLE logs (
    seq INTEGER PRIMARY KEY,          -- the order in which lines were printed
    task_id TEXT NOT NULL,            -- or the id of an API request
    timestamp_ms INTEGER NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX logs_task ON logs (task_id);
CREATE TABLE api_requests (
    seq INTEGER PRIMARY KEY,          -- the order in which they were answered
    id TEXT NOT NULL UNIQUE,          -- ascends in the order in which they came in
    function_name TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    status_code INTEGER NOT NULL,
    user_id TEXT,
    application_id TEXT,
    error TEXT                        -- JSON object, NULL when there is none
);
CREATE INDEX api_requests_function ON api_requests (function_name);
"""
_ADD_EXTRAS = """
ALTER TABLE tasks ADD COLUMN extras TEXT;  -- JSON array of TaskExtras, NULL for most
"""
_MIGRATIONS: dict[int, str] = {
    0: _CREATE,
    1: counts.CREATE,
    2: value_indexes.CREATE,
    3: _ADD_EXTRAS,
    4: event_records.CREATE,
    5: value_indexes.TO_RUNS,
    6: deliveries.CREATE,
    7: value_runs.NOTE_SEVERAL,
}
"""For each version, the step to the next."""


def open_catalogue(path: Path, now_ms: int, *, gives_back_space: bool = False) -> sqlite3.Connection:
    """The one connection that writes. A file that is no sound database is set aside and a new one begun.

    One that ``gives_back_space`` does not stay as long as it ever was when most of it has been removed.

    :raises StoreError: when the file was written by a newer taskd.
    """
    try:
        return _open_writer(path, gives_back_space=gives_back_space)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # the disk or its permissions, not the file
            advice = f"Look at the free space and the permissions of {path.parent}."
            raise StoreError(f"{path} cannot be opened: {error}. {advice}") from error
        set_aside(path, str(now_ms), error)
        return _open_writer(path, gives_back_space=gives_back_space)


def _open_writer(path: Path, *, gives_back_space: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_MAX_BYTES}")
        connection.execute("PRAGMA synchronous = NORMAL")  # the journal is the promise; see make_durable
        _migrate(connection, path)
        if gives_back_space:
            _make_incremental(connection, path)
        connection.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _make_incremental(connection: sqlite3.Connection, path: Path) -> None:
    try:
        free_space.make_incremental(connection)
    except sqlite3.OperationalError as error:
        log.warning("%s keeps the space that is freed in it: it could not be written anew (%s).", path, error)


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a newer taskd (schema {version}, this one knows {VERSION}). Use the newer taskd, "
            f"or move the file away: what the journal holds is rebuilt."
        )
    if 0 < version < VERSION:
        log.info("Bringing %s from schema %d to %d: a few seconds for each million tasks.", path, version, VERSION)
    migrate(connection, version)


def migrate(connection: sqlite3.Connection, version: int = 0) -> None:
    """Takes a catalogue of an earlier version, or by default an empty file, step by step to this one."""
    for step in range(version, VERSION):
        connection.executescript(f"BEGIN; {_MIGRATIONS[step]} PRAGMA user_version = {step + 1}; COMMIT;")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is not what SQLite wrote, so that trying again cannot help."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF  # the low byte is the kind
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def set_aside(path: Path, label: str, damage: sqlite3.Error) -> None:
    """Moves a broken catalogue out of the way, its side files too, and says so.

    Durably: SQLite would apply a ``-wal`` file that came back in a power cut to the catalogue that is made next.
    """
    moved = path.with_name(f"{path.name}.broken-{label}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(moved.with_name(moved.name + suffix))
    sync_directory(path.parent)
    log.error("%s is damaged (%s). It was moved to %s; a new one is built from the journal.", path, damage, moved)
