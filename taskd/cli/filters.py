"""Queries of listings: what the options of ``tasks list`` mean in RQL."""

import re
from urllib.parse import quote

_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def task_query(rql: str | None, status: str | None, function: str | None) -> str:
    """The query string for the tasks that meet all the conditions, newest first unless ``rql`` sorts."""
    conditions = [_parenthesized(encode_rql(rql))] if rql else []
    if status:
        conditions.append(f"eq(status,{encode_value(status)})")
    if function:
        conditions.append(f"eq(functionName,{encode_value(function)})")
    if "sort(" not in (rql or ""):
        conditions.append("sort(-id)")  # ids ascend, also within a millisecond
    return "&".join(conditions)


def newest_first(rql: str | None, time_field: str, condition: str) -> str:
    """The query string for what meets ``rql`` and ``condition``, which may be empty; newest first unless it sorts."""
    order = "" if "sort(" in (rql or "") else f"sort(-{time_field})"
    return "&".join(filter(None, (condition, _parenthesized(encode_rql(rql)) if rql else "", order)))


def _parenthesized(rql: str) -> str:
    """Alternatives need parentheses before more can be added; ``sort`` is not allowed within them."""
    return f"({rql})" if "|" in rql and "sort(" not in rql else rql


def encode_value(text: str) -> str:
    """``text`` as a string value, whatever is in it; values are decoded twice."""
    return "string:" + quote(quote(text, safe=""), safe="")


def encode_rql(rql: str) -> str:
    """A query as people type it, fit for a URL; what is percent-encoded already stays as it is."""
    return quote(_STRAY_PERCENT.sub("%25", rql), safe="%()&|=!,:;*'/?@$-._~")
