"""Cuts a query's text into pieces: names, values, operators, separators. The text is read as it came, undecoded.

Clients encode ``<``, ``>`` and ``'`` on the way (URL libraries do it for them) and some encode ``|``, so where these
are syntax their encoded forms are too.
"""

import re
from bisect import bisect_left

from taskd.rql.errors import RqlError
from taskd.rql.values import Raw

WORD = re.compile(r"(?:[^()&|,=<>!%]|!(?!=)|%(?!3C|3E|7C))*", re.IGNORECASE)
"""A field or an operator's name at the beginning of a condition."""
ARGUMENT = re.compile(r"[^(),]*")
"""A field or a value between the parentheses of an operator."""
OPERAND = re.compile(r"(?:[^()&|,%]|%(?!7C))*", re.IGNORECASE)
"""The value of ``a=b``."""
RELATION = re.compile(r"=(\w+)=|==|!=|(?:<|>|%3C|%3E)(?:=|%3D)?|=", re.ASCII | re.IGNORECASE)
"""What stands between a field and its value; the first group is the name in ``=name=``."""
SEPARATOR = re.compile(r"&+|\||%7C|,", re.IGNORECASE)

_QUOTE = re.compile(r"'|%27")
_CLOSING_QUOTE = re.compile(r"(?:\\|%5C)(?:\\|%5C|'|%27)|(?P<end>'|%27)(?=[,)&|]|%7C|$)", re.IGNORECASE)


class Scanner:
    """A position in the text, and the ways of moving it on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._quote_ends = [m.end() for m in _CLOSING_QUOTE.finditer(text) if m["end"]]

    def at(self, literal: str) -> bool:
        """Whether ``literal`` comes next."""
        return self.text.startswith(literal, self.position)

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self.position >= len(self.text)

    def matches(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match of ``pattern`` here, if there is one; the position stays."""
        return pattern.match(self.text, self.position)

    def take(self, pattern: re.Pattern[str]) -> Raw:
        """Moves past ``pattern``; gives its text, empty if it does not match, and where it began."""
        begin = self.position
        match = self.matches(pattern)
        self.position = begin if match is None else match.end()
        return self.text[begin : self.position], begin

    def take_value(self, pattern: re.Pattern[str]) -> Raw:
        """Like ``take``, but a quoted text is taken up to its closing quote, whatever it holds."""
        begin = self.position
        opening = self.matches(_QUOTE)
        if opening is None:
            return self.take(pattern)
        nearest = bisect_left(self._quote_ends, opening.end() + 1)
        if nearest == len(self._quote_ends):
            return self.take(pattern)
        self.position = self._quote_ends[nearest]
        return self.text[begin : self.position], begin

    def accept(self, literal: str) -> bool:
        """Moves past ``literal`` if it comes next."""
        found = self.at(literal)
        self.position += len(literal) * found
        return found

    def expect(self, literal: str, after: str) -> None:
        """Moves past ``literal``; an error says that it is missing after ``after``."""
        if not self.accept(literal):
            raise self.error(f'"{literal}" is expected after {after}, not {self.next_text()}')

    def next_text(self) -> str:
        """What comes next, for an error message."""
        return f'"{self.text[self.position]}"' if not self.at_end() else "the end"

    def error(self, message: str) -> RqlError:
        """An error about this place."""
        return RqlError(message, self.position)
