"""Whether a listing finds its way by indexes, or has to look at one record after the other."""

from taskd.rql.query import Contains, Group, Member, Node, Path, Pattern, Query
from taskd.store.embedded.catalogue.sql.fields import Resource

_LOOKUPS = ("eq", "in", "gt", "ge", "lt", "le")
"""What an index can answer."""


def scans(query: Query, resource: Resource) -> bool:
    """Whether the time that ``query`` takes grows with all there is, and not with the page."""
    paths = [key.path for key in query.sort]
    is_ordered = not paths or (len(paths) == 1 and _has_index(paths[0], resource))
    return not is_ordered or not (query.where is None or is_looked_up(query.where, resource))


def is_looked_up(node: Node, resource: Resource) -> bool:
    """Whether an index leads to what satisfies ``node``."""
    if isinstance(node, Group):
        return all(is_looked_up(condition, resource) for condition in node.conditions)
    if isinstance(node, Contains) or node.op not in _LOOKUPS or not _has_index(node.path, resource):
        return False
    values = node.values if isinstance(node, Member) else (node.value,)
    return not any(isinstance(value, Pattern) for value in values)


def _has_index(path: Path, resource: Resource) -> bool:
    field = resource.fields.get(path[0])
    return field is not None and field.indexed and len(path) == 1
