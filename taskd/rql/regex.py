"""Regular expressions: the dialect, and how a pattern is parsed.

A client's pattern runs inside the service, so nothing is accepted that needs backtracking: no back references, no
look-around. The dialect is otherwise what is common to JavaScript and Python: literals, ``.``, classes,
``\\d \\w \\s``, groups, ``|``, ``* + ? {m,n}`` (lazy forms match the same texts), ``^ $ \\b \\B``. Its rules, for
every store:

- A pattern matches anywhere in a text, unless it is anchored. ``^`` and ``$`` are the ends of the whole text; ``.`` is
  any character but a line feed.
- A character is a code point. ``\\d``, ``\\w`` and ``\\s`` are digits, letters and blanks of all of Unicode.
- Where case is disregarded, a character of the text also counts as its upper and its lower form, if these are single
  characters.

``nfa.py`` makes an automaton of a pattern, and ``matcher.py`` runs it.
"""

import re

from msgspec import Struct

from taskd.model.errors import TaskdError

REPEAT_MAX = 1000
GROUP_MAX_DEPTH = 32

ASSERTIONS = "^$bB"
_CLASS_LETTERS = "dDwWsS"
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_COUNTED = re.compile(r"\{(\d{1,6})(,?)(\d{0,6})\}", re.ASCII)
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")


class RegexError(TaskdError):
    """The pattern is not one that can be run here; the message says why."""


class CharSet(Struct, frozen=True, gc=False):
    """The characters within a range or of a class (``d``, ``W``, …); all others when ``negated``."""

    ranges: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    negated: bool = False


class Assertion(Struct, frozen=True):
    """A condition on a place between characters: one of ``^ $ b B``."""

    kind: str


class Concatenation(Struct, frozen=True):
    """One part after the other."""

    parts: tuple["Part", ...]


class Alternation(Struct, frozen=True):
    """Any of the parts."""

    parts: tuple["Part", ...]


class Repetition(Struct, frozen=True):
    """The part, ``least`` to ``most`` times; no upper bound when ``most`` is ``None``."""

    part: "Part"
    least: int
    most: int | None


Part = CharSet | Assertion | Concatenation | Alternation | Repetition


def parse_regex(pattern: str) -> Part:
    """The pattern as a tree. Raises :class:`RegexError`."""
    return _Parser(pattern).whole()


class _Parser:
    """Recursive descent over one pattern; recursion is as deep as its groups are."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0

    def whole(self) -> Part:
        part = self._alternation()
        if self._at < len(self._text):
            raise RegexError("the pattern has a ) without its (")
        return part

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _accept(self, literal: str) -> bool:
        found = self._text.startswith(literal, self._at)
        self._at += len(literal) * found
        return found

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise RegexError("the pattern ends too early")
        self._at += 1
        return char

    def _alternation(self) -> Part:
        parts = [self._concatenation()]
        while self._accept("|"):
            parts.append(self._concatenation())
        return parts[0] if len(parts) == 1 else Alternation(tuple(parts))

    def _concatenation(self) -> Part:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return Concatenation(tuple(parts))

    def _repeated(self, part: Part) -> Part:
        bounds = self._quantifier()
        if bounds is None:
            return part
        self._accept("?")
        if self._peek() in ("*", "+", "?") or _COUNTED.match(self._text, self._at):
            raise RegexError("the pattern repeats a repetition; put it in a group")
        return Repetition(part, *bounds)

    def _quantifier(self) -> tuple[int, int | None] | None:
        if self._accept("*"):
            return 0, None
        if self._accept("+"):
            return 1, None
        if self._accept("?"):
            return 0, 1
        counted = _COUNTED.match(self._text, self._at)
        if counted is None:
            return None
        self._at = counted.end()
        return _bounds(*counted.groups())

    def _atom(self) -> Part:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == ".":
            return CharSet(ranges=(("\n", "\n"),), negated=True)
        if char in "^$":
            return Assertion(char)
        if char == "\\":
            return self._escape()
        if char in "*+?":
            raise RegexError(f"the pattern has nothing for {char} to repeat")
        return _one(char)

    def _group(self) -> Part:
        if self._accept("?") and not self._accept(":"):
            raise RegexError("look-around, named groups and inline flags are not supported in patterns")
        self._depth += 1
        if self._depth > GROUP_MAX_DEPTH:
            raise RegexError(f"the pattern nests groups over {GROUP_MAX_DEPTH} deep")
        part = self._alternation()
        if not self._accept(")"):
            raise RegexError("the pattern has a ( without its )")
        self._depth -= 1
        return part

    def _escape(self) -> Part:
        if self._peek() in ("b", "B"):
            return Assertion(self._take())
        return self._escaped_set()

    def _escaped_set(self) -> CharSet:
        coded = _HEX.match(self._text, self._at)
        if coded is not None:
            self._at = coded.end()
            return _one(chr(int(coded[1] or coded[2], 16)))
        char = self._take()
        if char in _CLASS_LETTERS:
            return CharSet(classes=(char,))
        if char in _CONTROLS:
            return _one(_CONTROLS[char])
        if char.isalnum():
            raise RegexError(f"\\{char} is not supported in patterns")
        return _one(char)

    def _class(self) -> CharSet:
        negated = self._accept("^")
        ranges: list[tuple[str, str]] = []
        classes: list[str] = []
        while True:
            item = self._class_item()
            classes += item.classes
            ranges += self._ranged(item) if item.ranges else ()
            if self._accept("]"):
                return CharSet(tuple(ranges), tuple(classes), negated)

    def _class_item(self) -> CharSet:
        char = self._take()
        return self._escaped_set() if char == "\\" else _one(char)

    def _ranged(self, first: CharSet) -> tuple[tuple[str, str], ...]:
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return first.ranges
        self._at += 1
        last = self._class_item()
        low, high = first.ranges[0][0], last.ranges[0][1] if last.ranges else ""
        if low > high:
            raise RegexError("the pattern has a range whose end is before its beginning")
        return ((low, high),)


def _one(char: str) -> CharSet:
    return CharSet(ranges=((char, char),))


def _bounds(least: str, comma: str, most: str) -> tuple[int, int | None]:
    low = int(least)
    high = low if not comma else int(most) if most else None
    if max(low, high or 0) > REPEAT_MAX:
        raise RegexError(f"the pattern repeats something over {REPEAT_MAX} times")
    if high is not None and high < low:
        raise RegexError("the pattern has a repetition whose end is before its beginning")
    return low, high
