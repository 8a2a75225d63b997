"""From a query to a statement of SQLite: fields, operators, plans. Knows no connection."""
