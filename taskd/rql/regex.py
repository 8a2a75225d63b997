"""Regular expressions whose matching time grows only with the text: parsing, and compiling to a small automaton.

A client's pattern runs inside the service, so nothing is accepted that needs backtracking: no back references, no
look-around. The dialect is otherwise what is common to JavaScript and Python: literals, ``.``, classes,
``\\d \\w \\s``, groups, ``|``, ``* + ? {m,n}`` (lazy forms match the same texts), ``^ $ \\b \\B``.
``matcher.py`` runs the automaton.
"""

import re

from msgspec import Struct

from taskd.model.errors import TaskdError

PROGRAM_MAX_STATES = 2000
REPEAT_MAX = 1000
GROUP_MAX_DEPTH = 32

ASSERTIONS = "^$bB"
_CLASS_LETTERS = "dDwWsS"
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_COUNTED = re.compile(r"\{(\d{1,6})(,?)(\d{0,6})\}", re.ASCII)
_HEX = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")


class RegexError(TaskdError):
    """The pattern is not one that can be run here; the message says why."""


class CharSet(Struct, frozen=True):
    """The characters within a range or of a class (``d``, ``W``, …); all others when ``negated``."""

    ranges: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    negated: bool = False


class Assertion(Struct, frozen=True):
    """A condition on a place between characters: one of ``^ $ b B``."""

    kind: str


class Sequence(Struct, frozen=True):
    """One part after the other."""

    parts: tuple["Part", ...]


class Choice(Struct, frozen=True):
    """Any of the parts."""

    parts: tuple["Part", ...]


class Repeat(Struct, frozen=True):
    """The part, ``least`` to ``most`` times; no upper bound when ``most`` is ``None``."""

    part: "Part"
    least: int
    most: int | None


Part = CharSet | Assertion | Sequence | Choice | Repeat


class State(Struct):
    """A state of the automaton: reads a character of ``chars``, holds if ``assertion`` does, or just goes on.

    ``next`` are the indexes of the states after it. The accepting state has index 0.
    """

    chars: CharSet | None = None
    assertion: str | None = None
    next: tuple[int, ...] = ()


class Program(Struct, frozen=True):
    """A non-deterministic automaton: the states, and the index of the first."""

    states: tuple[State, ...]
    start: int


def compile_regex(pattern: str) -> Program:
    """The automaton for ``pattern``. Raises :class:`RegexError`."""
    builder = _Builder()
    start = builder.add(_Parser(pattern).whole(), 0)
    return Program(tuple(builder.states), start)


class _Builder:
    """Lays states out from the end to the beginning: ``add`` gives the entry of a part that goes on to ``after``."""

    def __init__(self) -> None:
        self.states = [State()]

    def add(self, part: Part, after: int) -> int:
        match part:
            case CharSet():
                return self._state(State(chars=part, next=(after,)))
            case Assertion():
                return self._state(State(assertion=part.kind, next=(after,)))
            case Sequence():
                for item in reversed(part.parts):
                    after = self.add(item, after)
                return after
            case Choice():
                return self._state(State(next=tuple(self.add(item, after) for item in part.parts)))
            case Repeat():
                return self._repeat(part, after)

    def _repeat(self, repeat: Repeat, after: int) -> int:
        entry = self._loop(repeat.part, after) if repeat.most is None else after
        for _ in range((repeat.most or repeat.least) - repeat.least):
            body = self.add(repeat.part, entry)
            if body == entry:
                return after
            entry = self._state(State(next=(body, after)))
        for _ in range(repeat.least):
            body = self.add(repeat.part, entry)
            if body == entry:
                break
            entry = body
        return entry

    def _loop(self, part: Part, after: int) -> int:
        loop = self._state(State())
        self.states[loop].next = (self.add(part, loop), after)
        return loop

    def _state(self, state: State) -> int:
        if len(self.states) >= PROGRAM_MAX_STATES:
            raise RegexError("the pattern is too large")
        self.states.append(state)
        return len(self.states) - 1


class _Parser:
    """Recursive descent over one pattern; recursion is as deep as its groups are."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0

    def whole(self) -> Part:
        part = self._choice()
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

    def _choice(self) -> Part:
        parts = [self._sequence()]
        while self._accept("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Part:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return Sequence(tuple(parts))

    def _repeated(self, part: Part) -> Part:
        bounds = self._quantifier()
        if bounds is None:
            return part
        self._accept("?")
        if self._peek() in ("*", "+", "?") or _COUNTED.match(self._text, self._at):
            raise RegexError("the pattern repeats a repetition; put it in a group")
        return Repeat(part, *bounds)

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
        part = self._choice()
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
