"""From a query to SQLite's statements. Knows no connection, and nothing of the rest of the catalogue.

In the order in which a query passes through:

- ``planning``: a query and a table make the plan of a page, which is one or two statements.
- ``indexes``: which conditions an index answers, and when there are two indexes to choose from.
- ``lookups``: which conditions an index on values inside of JSON answers, and how.
- ``compile``: the filter and the order as SQL, by ``fields``, which says where a resource's fields are kept.
- ``documents``: conditions on columns of JSON. ``comparisons``: conditions on a value whose type is known.
- ``fragment``: text of SQL with its parameters.
- ``user_functions``: the functions that this SQL calls.
"""
