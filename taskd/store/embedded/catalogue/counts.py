"""How many tasks there are of each function and status: the totals of listings that ask for nothing else.

Counting a million rows takes longer than a page of them. Triggers keep the counts, so that they are part of whatever
changes a task and can be neither forgotten nor be out of step.
"""

from taskd.store.embedded.catalogue.sql.fields import KeptCounts

TASK_COUNTS = KeptCounts("task_counts", "tasks", ("functionName", "status"))

_ONE_MORE = """
    INSERT INTO task_counts VALUES (new.function_name, new.status, 1)
    ON CONFLICT (function_name, status) DO UPDATE SET tasks = tasks + 1;
"""
_ONE_LESS = """
    UPDATE task_counts SET tasks = tasks - 1 WHERE function_name = old.function_name AND status = old.status;
"""
CREATE = f"""
CREATE TABLE task_counts (
    function_name TEXT NOT NULL,
    status TEXT NOT NULL,
    tasks INTEGER NOT NULL,
    PRIMARY KEY (function_name, status)
) WITHOUT ROWID;
CREATE INDEX task_counts_status ON task_counts (status);
INSERT INTO task_counts SELECT function_name, status, count(*) FROM tasks GROUP BY function_name, status;
CREATE TRIGGER tasks_added AFTER INSERT ON tasks BEGIN {_ONE_MORE} END;
CREATE TRIGGER tasks_changed AFTER UPDATE OF status ON tasks WHEN old.status <> new.status BEGIN
    {_ONE_LESS} {_ONE_MORE}
END;
CREATE TRIGGER tasks_removed AFTER DELETE ON tasks BEGIN {_ONE_LESS} END;
"""
"""Adds the counts to a catalogue that has tasks."""
