"""A catalogue of tasks in memory, to run compiled queries on."""

import json
import sqlite3
from typing import Any

from taskd.model.task import Task
from taskd.model.wire import encode_task
from taskd.rql.query import Query
from taskd.store.catalogue.compile import Compiled, compile_query
from taskd.store.catalogue.fields import TASKS
from taskd.store.catalogue.functions import register_functions
from taskd.store.catalogue.rows import COLUMNS, row
from taskd.store.catalogue.schema import _CREATE


class MemoryCatalogue:
    """The table of tasks, and what queries find in it."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.executescript(_CREATE)
        register_functions(self.connection)

    def fill(self, tasks: list[Task]) -> None:
        """Replaces whatever the table holds."""
        self.connection.execute("DELETE FROM tasks")
        places = ", ".join("?" * len(COLUMNS))
        self.connection.executemany(
            f"INSERT INTO tasks ({', '.join(COLUMNS)}) VALUES ({places})", [row(task) for task in tasks]
        )

    def find(self, query: Query) -> list[str]:
        """The ids on the page that ``query`` asks for."""
        compiled = compile_query(query, TASKS)
        window = (compiled.limit, compiled.offset)
        rows = self.connection.execute(page_sql(compiled), (*compiled.params, *compiled.order_params, *window))
        return [task_id for (task_id,) in rows]

    def plan(self, query: Query) -> str:
        """SQLite's plan for the page, one step a line."""
        compiled = compile_query(query, TASKS)
        parameters = (*compiled.params, *compiled.order_params, compiled.limit, compiled.offset)
        rows = self.connection.execute(f"EXPLAIN QUERY PLAN {page_sql(compiled)}", parameters)
        return "\n".join(step for *_, step in rows)


def page_sql(compiled: Compiled) -> str:
    """Ids of a page; the limit and the offset are the last parameters."""
    return f"SELECT id FROM tasks WHERE {compiled.where_sql} ORDER BY {compiled.order_sql} LIMIT ? OFFSET ?"


def on_the_wire(task: Task) -> dict[str, Any]:
    """The task as a client gets it."""
    wire: dict[str, Any] = json.loads(encode_task(task))
    return wire
