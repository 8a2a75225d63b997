"""Options that several commands share, and the types of values that people type."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
import msgspec

from taskd.auth.header_files import by_address, header_file, read_token
from taskd.auth.secret_files import SecretFileError
from taskd.cli.client import DEFAULT_URL, ApiClient
from taskd.cli.exit_codes import CommandError
from taskd.cli.moments import parse_moment
from taskd.model.clock import system_clock_ms
from taskd.model.durations import parse_duration

P = ParamSpec("P")
R = TypeVar("R")
Decorator = Callable[[Callable[P, R]], Callable[P, R]]

url_option = click.option(
    "--url", envvar="TASKD_URL", default=DEFAULT_URL, show_default=True, show_envvar=True, help="The server."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def client_options(command: Callable[Concatenate[ApiClient, P], R]) -> Callable[P, R]:
    """Adds ``--url`` and ``--token``, and passes the command an :class:`ApiClient` made of them.

    Without a token the one is taken that a daemon of the same user left for its commands.
    """

    @url_option
    @click.option(
        *("--token", "token"),
        envvar="TASKD_TOKEN",
        show_envvar=True,
        help="Sent as bearer token.  [default: see `taskd token`]",
    )
    @wraps(command)
    def with_client(*args: Any, url: str, token: str | None, **kwargs: Any) -> R:
        return command(_client(url, token), *args, **kwargs)

    return with_client  # type: ignore[return-value]


def _client(url: str, token: str | None) -> ApiClient:
    if token and not (token.isascii() and token.isprintable()):
        raise click.BadParameter("must be printable ASCII on one line", param_hint="--token")
    try:
        if token is None and (left := _left_token(url)) is not None:
            return ApiClient(by_address(url), left)
        return ApiClient(url, token)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from error


def _left_token(url: str) -> str | None:
    path = header_file(url)
    try:
        return read_token(path) if path is not None else None
    except SecretFileError as error:
        raise CommandError(str(error)) from error


def moment(_: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """An option's callback: a point in time as milliseconds since the epoch, see :func:`parse_moment`."""
    if value is None:
        return None
    try:
        return parse_moment(value, system_clock_ms())
    except ValueError as error:
        raise click.BadParameter(str(error), param=param) from error


def duration(_: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """An option's callback: a span of time in milliseconds, see :func:`parse_duration`."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param=param) from error


def json_object(_: click.Context, param: click.Parameter, value: str | None) -> msgspec.Raw | None:
    """An option's callback: the text of a JSON object as it came: given itself, as ``@file``, or as ``-``."""
    if value is None:
        return None
    try:
        content = _content(value)
        msgspec.json.decode(content, type=dict[str, Any])
    except OSError as error:
        raise click.BadParameter(f"{value[1:]}: {error.strerror}", param=param) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise click.BadParameter(f"not a JSON object: {error}", param=param) from error
    return msgspec.Raw(content)


def _content(value: str) -> bytes:
    if value == "-":
        return sys.stdin.buffer.read()
    if value.startswith("@"):
        return Path(value[1:]).read_bytes()
    return value.encode()
