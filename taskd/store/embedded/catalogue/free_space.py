"""Space in the catalogue's file that nothing is in any more: most of it goes back to the disk, bit by bit.

For the thread that writes. Only a catalogue that was told to at its opening can: it keeps track of where each page
is pointed at from, which takes its writer a twentieth more. In others the space is used again and never given back.
"""

import sqlite3

_KEPT_SHARE = 8
"""An eighth of the file may be free: what comes next need not make it longer at once."""
_KEPT_PAGES = 256
_STEP_PAGES = 256
"""Pages of 4 KiB that are given back in one transaction: some milliseconds."""
_INCREMENTAL = 2


class FreeSpace:
    """Gives back what is free in the file of ``connection``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._may_be_free = self._value("auto_vacuum") == _INCREMENTAL
        self._can = self._may_be_free

    def look(self) -> None:
        """Something was removed."""
        self._may_be_free = self._can

    def step(self) -> bool:
        """Gives back a bit; ``False`` if there was nothing to give back."""
        if not self._may_be_free:
            return False
        free, pages = self._value("freelist_count"), self._value("page_count")
        surplus = free - max(_KEPT_PAGES, pages // _KEPT_SHARE)
        if surplus <= 0:
            self._may_be_free = False
            return False
        # as a script, which goes on to its end: `execute` would stop after the first page
        self._connection.executescript(f"PRAGMA incremental_vacuum({min(surplus, _STEP_PAGES)})")
        if surplus <= _STEP_PAGES:
            # the file itself gets shorter when the write-ahead log is folded into it
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return True

    def _value(self, pragma: str) -> int:
        [(value,)] = self._connection.execute(f"PRAGMA {pragma}").fetchall()
        return int(value)


def make_incremental(connection: sqlite3.Connection) -> None:
    """Has the file of ``connection``, which nothing else may have open, give back space from now on.

    One with tables is written anew, which takes some seconds for each million tasks, and twice its space for a while.

    :raises sqlite3.Error: it could not, and all is as it was.
    """
    [(mode,)] = connection.execute("PRAGMA auto_vacuum").fetchall()
    if mode != _INCREMENTAL:
        connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        connection.execute("VACUUM")


def write_anew(connection: sqlite3.Connection) -> None:
    """Puts a new file in the place of the old one's content, and empties the write-ahead log.

    Of what was removed not a byte is left then: neither in free pages, nor between the rows of others. Takes some
    seconds for each million tasks, and twice the space of the file for a while.

    :raises sqlite3.Error: it could not, or somebody still reads what was there; part of it may have been done.
    """
    connection.execute("VACUUM")
    [(is_busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if is_busy:
        raise sqlite3.OperationalError("a listing still reads what was there before")
