"""Bodies of start rules, and the rules that each asks for: how many at once, and how many in a time."""

from typing import Annotated

from msgspec import Meta, Struct

from taskd.api.validation.body_decoder import Number, field_error, whole_number
from taskd.model import limits
from taskd.model.data_key import path_problem
from taskd.model.start_rules import Concurrency, StartRules, Throttle

_AT_ONCE = "executionOptions.concurrency"
_IN_TIME = "executionOptions.throttle"


class ConcurrencyBody(Struct, rename="camel"):
    """How many tasks run at once: of the function, and of those with the same ``key``. An empty object: no limit."""

    total: Number | None = None
    per_key: Number | None = None
    key: Annotated[str | None, Meta(description="a path into the data like data.patientId")] = None


class ThrottleBody(Struct, rename="camel"):
    """How many tasks start in a time, each ``key`` apart if there is one. An empty object: no throttle."""

    limit: Number | None = None
    period_seconds: Number | None = None
    burst: Number | None = None
    key: Annotated[str | None, Meta(description="a path into the data like data.patientId")] = None


def start_rules(
    at_once: ConcurrencyBody | None, in_time: ThrottleBody | None, former: StartRules | None
) -> StartRules | None:
    """``former`` with those parts replaced that are there; ``None`` if no rule is left.

    :raises ContractError: ``FIELD_FORMAT``, naming the field and its rule.
    """
    former = former or StartRules()
    rules = StartRules(
        former.concurrency if at_once is None else _concurrency(at_once),
        former.throttle if in_time is None else _throttle(in_time),
    )
    return None if rules == StartRules() else rules


def _concurrency(body: ConcurrencyBody) -> Concurrency | None:
    if body == ConcurrencyBody():
        return None
    if (body.per_key is None) != (body.key is None):
        raise field_error(_AT_ONCE, "have perKey and key both or neither: how many of each key, and where it is")
    return Concurrency(
        _count(f"{_AT_ONCE}.total", body.total, limits.CONCURRENCY_MAX),
        _count(f"{_AT_ONCE}.perKey", body.per_key, limits.CONCURRENCY_MAX),
        _key(f"{_AT_ONCE}.key", body.key),
    )


def _throttle(body: ThrottleBody) -> Throttle | None:
    if body == ThrottleBody():
        return None
    limit = _count(f"{_IN_TIME}.limit", body.limit, limits.THROTTLE_LIMIT_MAX)
    if limit is None or body.period_seconds is None:
        raise field_error(_IN_TIME, "have limit and periodSeconds: how many may start, in how long a time")
    low_s, high_s = limits.THROTTLE_PERIOD_MIN_S, limits.THROTTLE_PERIOD_MAX_S
    if not low_s <= body.period_seconds <= high_s:
        raise field_error(f"{_IN_TIME}.periodSeconds", f"be a number of seconds from {low_s:g} to {high_s:,}")
    burst = _count(f"{_IN_TIME}.burst", body.burst, limits.THROTTLE_LIMIT_MAX) or 1
    return Throttle(limit, round(body.period_seconds * 1000), burst, _key(f"{_IN_TIME}.key", body.key))


def _count(name: str, value: float | None, most: int) -> int | None:
    return None if value is None else whole_number(name, value, 1, most, 1)


def _key(name: str, path: str | None) -> str | None:
    problem = None if path is None else path_problem(path)
    if problem is not None:
        raise field_error(name, problem)
    return path
