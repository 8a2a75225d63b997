"""One value or field name of a query: percent-decoding, converters, and guessing the type of what has none.

Clients encode values twice, because decoding once may bring out characters that are syntax; so a value is decoded twice
here. Where a step of decoding makes no sense (``50%`` has no escape in it) the text stays as it is, which lets values
through that were encoded once or not at all. A ``+`` is a plus.
"""

import math
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from taskd.model.timestamps import format_ms, parse_rfc3339, parse_timestamp
from taskd.rql.errors import RqlError
from taskd.rql.matcher import matcher_for
from taskd.rql.query import Guessed, Moment, Path, Pattern, Value
from taskd.rql.regex import RegexError
from taskd.rql.scalars import INT64_MAX, INT64_MIN

_CONVERTER = re.compile(r"([A-Za-z_]\w*):", re.ASCII)
_GUESSED_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,399})(\.\d{1,400})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,5})?", re.ASCII)
_PARTIAL_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d)?)?)?)?)?", re.ASCII)
_PATH_SEPARATOR = re.compile(r"[./]")
_QUOTE_ESCAPE = re.compile(r"\\(['\\])")
_GUESSED_INTEGER_MAX = 2**53 - 1
"""Longer digits are rather an identifier than a number, and no JavaScript client could mean them as one."""

Raw = tuple[str, int]
"""A piece of the query as it came, and its position."""


def parse_path(raw: Raw) -> Path:
    """The field a piece of the query names; an encoded ``.`` or ``/`` belongs to a name instead of parting two."""
    text, position = raw
    path = tuple(_decode_again(decode((part, position))) for part in _PATH_SEPARATOR.split(text))
    if not path[0]:
        raise RqlError("A field name is expected", position)
    return path


def parse_value(raw: Raw) -> Value:
    """The value of a piece of the query, by its converter or by its looks."""
    converter, text = _split_converter(raw)
    if converter is None:
        return _guess(text)
    return CONVERTERS[converter](text, raw[1])


def parse_text(raw: Raw, operator: str) -> str | Pattern:
    """The value of an ``operator`` that takes texts and patterns: nothing is guessed."""
    converter, text = _split_converter(raw)
    if converter is None:
        return _unquoted(text)
    value = CONVERTERS[converter](text, raw[1])
    if not isinstance(value, str | Pattern):
        raise RqlError(f"{operator} expects a text, not a {converter}", raw[1])
    return value


def parse_count(raw: Raw, what: str) -> int:
    """A whole number from 0 to 2^53 - 1, named ``what`` in the error."""
    digits = decode(raw)
    if not re.fullmatch(r"[0-9]{1,16}", digits) or int(digits) > _GUESSED_INTEGER_MAX:
        raise RqlError(f"{what} must be a whole number, 0 or more", raw[1])
    return int(digits)


def _split_converter(raw: Raw) -> tuple[str | None, str]:
    """The converter's name, if there is one, and the decoded rest.

    An encoded colon makes a converter only of a name that is one: ``http%3A//x`` is a text, ``http://x`` an error.
    """
    text, position = raw
    once = decode(raw)
    named = _CONVERTER.match(once)
    if named is not None and named[1] in CONVERTERS:
        return named[1], _decode_again(once[named.end() :])
    if named is not None and text.startswith(named[0]):
        raise RqlError(
            f'There is no converter "{named[1]}"; write a text with a colon as string:{named[0]}…, or encode it twice',
            position,
        )
    return None, _decode_again(once)


def decode(raw: Raw) -> str:
    """A piece of the query, percent-decoded once."""
    text, position = raw
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise RqlError("The percent-encoding is not of UTF-8", position) from None


def _decode_again(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return _QUOTE_ESCAPE.sub(r"\1", text[1:-1])
    return text


def _guess(text: str) -> Value:
    if text == "null":
        return None
    if text in ("true", "false"):
        return Guessed(text == "true", text)
    number = _guess_number(text)
    if number is not None:
        return Guessed(number, text)
    epoch_ms = parse_rfc3339(text)
    return _unquoted(text) if epoch_ms is None else Moment(epoch_ms, text)


def _guess_number(text: str) -> int | float | None:
    """Plain decimal notation only: what else Python or JavaScript read as a number is more likely a name."""
    written = _GUESSED_NUMBER.fullmatch(text)
    if written is None:
        return None
    if written[1] is None:
        return int(text) if abs(int(text)) <= _GUESSED_INTEGER_MAX else None
    value = float(text)
    return value if math.isfinite(value) else None


def _string(text: str, _position: int) -> str:
    return text


def _number(text: str, position: int) -> int | float:
    written = _NUMBER.fullmatch(text)
    value: int | float = math.inf if written is None else float(text)
    if written is None or not math.isfinite(value):
        raise RqlError("number: expects a finite decimal number", position)
    whole = written[1] is None and written[2] is None
    return int(text) if whole and INT64_MIN <= int(text) <= INT64_MAX else value


def _boolean(text: str, position: int) -> bool:
    if text not in ("true", "false"):
        raise RqlError("boolean: expects true or false", position)
    return text == "true"


def _date(text: str, position: int) -> Moment:
    is_day = _PARTIAL_DATE.fullmatch(text) is not None and len(text) == len("2026-01-01")
    epoch_ms = parse_rfc3339(f"{text}T00:00:00Z" if is_day else text)
    if epoch_ms is None:
        raise RqlError("date: expects a day or a full timestamp, such as 2026-01-01T00:00:00.000Z", position)
    return Moment(epoch_ms, text)


def _isodate(text: str, position: int) -> Moment:
    is_partial = _PARTIAL_DATE.fullmatch(text) is not None
    epoch_ms = parse_rfc3339(text + "0000-01-01T00:00:00Z"[len(text) :] if is_partial else text)
    if epoch_ms is None:
        raise RqlError("isodate: expects a timestamp or the beginning of one, such as 2026-01", position)
    return Moment(epoch_ms, text)


def _epoch(text: str, position: int) -> Moment:
    epoch_ms = parse_timestamp(_number(text, position))
    if epoch_ms is None:
        raise RqlError("epoch: expects milliseconds between the years 1 and 9999", position)
    return Moment(epoch_ms, format_ms(epoch_ms))


def _regex(text: str, position: int) -> Pattern:
    return _checked(Pattern(text, ignore_case=True), position)


def _regex_with_case(text: str, position: int) -> Pattern:
    return _checked(Pattern(text, ignore_case=False), position)


def _glob(text: str, position: int) -> Pattern:
    """``*`` stands for any characters and ``?`` for one; the whole text must match."""
    parts = {"*": r"[\s\S]*", "?": r"[\s\S]"}
    regex = "".join(parts.get(char) or (char if char.isalnum() else f"\\{char}") for char in text)
    return _checked(Pattern(f"^{regex}$", ignore_case=True), position)


def _checked(pattern: Pattern, position: int) -> Pattern:
    try:
        matcher_for(pattern.regex, pattern.ignore_case)
    except RegexError as error:
        raise RqlError(f"The pattern cannot be used: {error}", position) from error
    return pattern


CONVERTERS: dict[str, Callable[[str, int], Value]] = {
    "string": _string,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "isodate": _isodate,
    "epoch": _epoch,
    "re": _regex,
    "RE": _regex_with_case,
    "glob": _glob,
}
"""What a value may be prefixed with, and how the rest is then read."""
