"""What a response says besides what was asked for: notes for the people who made the request, in a header of ours."""

from collections.abc import Iterator, Mapping

from taskd.model.function import Function
from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Compare, Group, Member, Node, Path, Query

NOTICE_HEADER = "Taskd-Notice"
_NAMES_MAX = 5
_NAME_MAX_CHARS = 64
NO_NOTICE: Mapping[str, str] = {}


COUNTED_MAX = 100_000
"""A listing that looks at every record and finds more than these is advised not to count them."""


def scan_notice(query: Query, total: int | None) -> Mapping[str, str]:
    """The header that says that a listing looked at everything there is, and what would spare it that.

    ``total`` is how many it found, if they were counted.
    """
    names = [_shown(path) for path in dict.fromkeys(_indexable(query.where))][:_NAMES_MAX]
    advice = f"; [store] indexes = [{', '.join(names)}] would spare it that" if names else ""
    count = f"; skipCount() would spare it counting {total} of them" if (total or 0) > COUNTED_MAX else ""
    return {NOTICE_HEADER: f"this listing looked at every record, as no index answers it{advice}{count}"}


def adoption_notice(function: Function) -> Mapping[str, str]:
    """The header that says that the settings of an external function are assumed, since nobody told them."""
    if not function.external or function.code_version:
        return NO_NOTICE
    assumed = f"a time limit of {function.time_limit_s} s and {function.memory_limit_mb} MB are assumed"
    advice = "give timeLimit and memoryLimit, or let these credentials lambda:GetFunctionConfiguration"
    return {NOTICE_HEADER: f"AWS did not tell the settings of this function: {assumed}; {advice}"}


def _indexable(where: Node | None) -> Iterator[Path]:
    """The fields inside of data that all that is found has to have a value in."""
    if isinstance(where, Group) and where.op == "and":
        for condition in where.conditions:
            yield from _indexable(condition)
    elif isinstance(where, Compare | Member) and COMPARISONS[where.op].is_relation and _is_inside_of_data(where.path):
        yield where.path


def _is_inside_of_data(path: Path) -> bool:
    return path[0] == "data" and len(path) > 1


def _shown(path: Path) -> str:
    """A field as the configuration names it, in ASCII without quotes and control characters of its own."""
    name = ascii(".".join(path))[1:-1].replace('"', "\\x22")
    return f'"{name[:_NAME_MAX_CHARS]}"'
