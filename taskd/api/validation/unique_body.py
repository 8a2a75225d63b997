"""The ``unique`` part of bodies that make tasks: a key, how long it keeps others out, and what becomes of those."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from taskd.api.validation.body_decoder import Number, field_error, whole_number
from taskd.model import limits
from taskd.model.task_extras import OnConflict, TaskExtras, UniqueKey, UniqueRule, WhileKind

UNIQUE_RULE = (
    f"an object with key (1 to {limits.UNIQUE_KEY_MAX_CHARS} characters), while ({', '.join(WhileKind)} or a number of "
    f"seconds from the task's creation on; {WhileKind.ACTIVE} where it is left out) and onConflict "
    f"({', '.join(OnConflict)}; the first of them where it is left out)"
)
Key = Annotated[str, Meta(min_length=1, max_length=limits.UNIQUE_KEY_MAX_CHARS)]


class UniqueBody(Struct, rename="camel", gc=False):
    """While another task of the same function has ``key``, none is made."""

    key: Key
    while_: WhileKind | Number = field(default=WhileKind.ACTIVE, name="while")
    on_conflict: OnConflict = OnConflict.EXISTING


def unique_rule(body: UniqueBody) -> UniqueRule:
    """What ``body`` says. Raises ``ContractError`` (``FIELD_FORMAT``), naming the field and its rule."""
    if any(character < " " or character == "\x7f" for character in body.key):
        raise field_error("unique.key", "have no control characters")
    lasts: Any = body.while_
    if not isinstance(lasts, WhileKind):
        lasts = whole_number("unique.while", lasts, 1, limits.UNIQUE_SECONDS_MAX, 1)
    return UniqueRule(body.key, lasts, body.on_conflict)


def unique_extras(rule: UniqueRule) -> TaskExtras:
    """What a task has of ``rule``."""
    return TaskExtras(unique=UniqueKey(rule.key, rule.lasts))
