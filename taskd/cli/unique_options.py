"""The options of a unique key, and the field of the API that they become."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from taskd.cli.client import Json
from taskd.model.task_extras import OnConflict, WhileKind

P = ParamSpec("P")
R = TypeVar("R")

_WHILE_HELP = f"How long: {', '.join(WhileKind)}, or a number of seconds.  [default: {WhileKind.ACTIVE}]"
_CONFLICT_HELP = f"What to do if another task has the key.  [default: {OnConflict.EXISTING}]"
_OPTIONS = (
    click.option("--unique", metavar="KEY", help="The one task of its function with this key."),
    click.option("--while", "lasts", metavar="WHILE", help=_WHILE_HELP),
    click.option("--on-conflict", type=click.Choice([each.value for each in OnConflict]), help=_CONFLICT_HELP),
)


def unique_options(command: Callable[P, R]) -> Callable[P, R]:
    """Adds the options, and passes the command what they say as ``unique``, ``None`` where nothing was said."""

    @wraps(command)
    def with_field(*args: Any, unique: str | None, lasts: str | None, on_conflict: str | None, **options: Any) -> R:
        return command(*args, unique=_field(unique, lasts, on_conflict), **options)  # type: ignore[arg-type]

    decorated: Any = with_field
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def _field(key: str | None, lasts: str | None, on_conflict: str | None) -> Json | None:
    if key is None:
        if lasts is not None or on_conflict is not None:
            raise click.UsageError("--while and --on-conflict go with --unique KEY.")
        return None
    given = {"key": key, "while": _lasts(lasts), "onConflict": on_conflict}
    return {name: value for name, value in given.items() if value is not None}


def _lasts(text: str | None) -> str | int | None:
    if text is None or text in list(WhileKind):
        return text
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        message = f"must be {', '.join(WhileKind)} or a whole number of seconds"
        raise click.BadParameter(message, param_hint="--while")
    return int(text)
