"""A catalogue of tasks in memory, to run compiled queries on."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from taskd.model.task import Task
from taskd.model.wire import encode_task
from taskd.rql.query import Path, Query
from taskd.store.base import Page
from taskd.store.embedded.catalogue import queries
from taskd.store.embedded.catalogue.rows import COLUMNS, row
from taskd.store.embedded.catalogue.schema import migrate
from taskd.store.embedded.catalogue.sql.fields import TASKS
from taskd.store.embedded.catalogue.sql.planning import LookupPages, Table, lookup_pages, plan
from taskd.store.embedded.catalogue.sql.user_functions import register_functions
from taskd.store.embedded.catalogue.statements import Write, parts
from taskd.store.embedded.catalogue.value_indexes import ValueIndexes


class MemoryCatalogue:
    """The table of tasks, and what queries find in it."""

    def __init__(self, indexes: Iterable[Path] = ()) -> None:
        """With indexes on tags, and on what is at the paths ``indexes``."""
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection)
        register_functions(self.connection)
        self._paths = list(indexes)
        self.value_indexes = ValueIndexes(self.connection, self._paths)
        self.index_all()

    def index_all(self) -> None:
        """Has everything indexed that is not yet."""
        while self.value_indexes.step():
            pass

    def write_runs(self) -> None:
        """Has the values that are in memory in runs, as after a stop and a start."""
        self.value_indexes.write_recent()
        self.value_indexes = ValueIndexes(self.connection, self._paths)

    def close(self) -> None:
        """Whoever makes one closes it: Python warns of connections that are left open."""
        self.connection.close()

    def fill(self, tasks: list[Task]) -> None:
        """Replaces whatever the table holds."""
        seqs = [seq for (seq,) in self.connection.execute("SELECT seq FROM tasks")]
        self.value_indexes.forget(seqs)
        self.connection.execute("DELETE FROM tasks")
        self.add(tasks)

    def add(self, tasks: list[Task]) -> None:
        """Adds rows, as one batch of the writer does."""
        places = ", ".join("?" * len(COLUMNS))
        self.connection.executemany(
            f"INSERT INTO tasks ({', '.join(COLUMNS)}) VALUES ({places})", [row(task) for task in tasks]
        )
        self.value_indexes.note(tasks)
        self.value_indexes.keep_noted()

    def write(self, writes: Iterable[Write]) -> None:
        """Writes as the catalogue's own writer does."""
        for statement, rows in writes:
            for part in parts(rows):
                self.connection.execute(*statement.bind(part))

    def page(self, query: Query) -> Page[Task]:
        """What ``query`` finds."""
        return queries.tasks(query)(self.connection)

    def page_by_values(self, query: Query) -> Page[Task] | None:
        """What ``query`` finds by the index on values that leads to least; ``None`` if none leads to it."""
        listing = queries.tasks(query, self.value_indexes)
        if not listing.has_lookups:
            return None
        listing.choose(self.connection)
        return listing(self.connection)

    def sizes(self, query: Query) -> list[int]:
        """How many tasks each of the lookups for ``query`` leads to."""
        sizes = self._lookup_pages(query).sizes
        return list(self.connection.execute(sizes.text, sizes.params).fetchone())

    def seqs_by_values(self, query: Query) -> list[list[int]]:
        """The numbers of the tasks on the page, by each of the lookups for ``query``."""
        pages = [page.rows for page in self._lookup_pages(query).pages]
        return [[row[0] for row in self.connection.execute(page.text, page.params)] for page in pages]

    def _lookup_pages(self, query: Query) -> LookupPages:
        table = Table("tasks", ["seq"], TASKS)
        return lookup_pages(query, table, plan(query, table, self.value_indexes).lookups)

    def find(self, query: Query) -> list[str]:
        """The ids on the page that ``query`` asks for."""
        return [task.id for task in self.page(query).rows]

    def plan(self, query: Query) -> str:
        """SQLite's plan for the page, one step a line."""
        statements: list[str] = []
        self.connection.set_trace_callback(statements.append)
        self.page(query)
        self.connection.set_trace_callback(None)
        steps = self.connection.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")
        return "\n".join(step for *_, step in steps)


def on_the_wire(task: Task) -> dict[str, Any]:
    """The task as a client gets it."""
    wire: dict[str, Any] = json.loads(encode_task(task))
    return wire
