"""Runs a compiled pattern over a text, one step a character whatever the pattern is.

The deterministic automaton is built as texts need it, and thrown away when it grows too large, so neither time nor
memory can be driven up by a hostile pattern; a long run can be called off.
"""

from collections.abc import Callable
from functools import lru_cache

from taskd.model.errors import TaskdError
from taskd.rql.regex import CharSet, Program, State, compile_regex

_CACHED_STEPS_MAX = 20_000
_CHARS_PER_POLL = 65_536
_STEPS_PER_POLL = 128

_WORD, _OTHER, _EDGE = "word", "other", "edge"
"""What is on one side of a place in the text: a word character, another one, or the text's beginning or end."""


class SearchCancelledError(TaskdError):
    """The search was called off before it came to an end."""


def never() -> bool:
    """For searches that nobody calls off."""
    return False


class _Node:
    """A state of the deterministic automaton: where the pattern may stand after a character of kind ``before``."""

    __slots__ = ("before", "steps", "waiting")

    def __init__(self, waiting: frozenset[int], before: str) -> None:
        self.waiting = waiting
        self.before = before
        self.steps: dict[str, _Node | None] = {}
        """The next node by character; ``None`` once the pattern has matched."""


class Matcher:
    """One pattern, ready to search texts. May be shared by threads."""

    def __init__(self, regex: str, *, ignore_case: bool) -> None:
        """Raises ``RegexError``."""
        self._program: Program = compile_regex(regex)
        self._ignore_case = ignore_case
        self._nodes: dict[tuple[frozenset[int], str], _Node] = {}
        self._cached_steps = 0

    def search(self, text: str, cancelled: Callable[[], bool] = never) -> bool:
        """Whether the pattern matches anywhere in ``text``; polls ``cancelled`` at least every few milliseconds.

        Raises :class:`SearchCancelledError` once ``cancelled()`` is true.
        """
        node = self._node(frozenset((self._program.start,)), _EDGE)
        for begin in range(0, len(text), _CHARS_PER_POLL):
            _poll(cancelled)
            following = self._run(node, text[begin : begin + _CHARS_PER_POLL], cancelled)
            if following is None:
                return True
            node = following
        return 0 in self._reachable(node, _EDGE)

    def _run(self, node: _Node, text: str, cancelled: Callable[[], bool]) -> _Node | None:
        for char in text:
            try:
                following = node.steps[char]
            except KeyError:
                following = self._step(node, char)
                if self._cached_steps % _STEPS_PER_POLL == 0:
                    _poll(cancelled)
            if following is None:
                return None
            node = following
        return node

    def _step(self, node: _Node, char: str) -> _Node | None:
        kind = _WORD if _is_word(char) else _OTHER
        reachable = self._reachable(node, kind)
        following = None if 0 in reachable else self._node(self._after(reachable, char), kind)
        self._cached_steps += 1
        node.steps[char] = following
        return following

    def _after(self, reachable: set[int], char: str) -> frozenset[int]:
        """The states after reading ``char``; a match may also begin after it."""
        forms = _forms(char) if self._ignore_case else {char}
        states = self._program.states
        moved = (states[i].next[0] for i in reachable if _reads(states[i].chars, forms))
        return frozenset((self._program.start, *moved))

    def _reachable(self, node: _Node, after: str) -> set[int]:
        """The states that can be reached without reading, between ``node.before`` and ``after``."""
        found: set[int] = set()
        pending = list(node.waiting)
        while pending:
            index = pending.pop()
            if index in found:
                continue
            found.add(index)
            state = self._program.states[index]
            if state.chars is None and _passes(state, node.before, after):
                pending.extend(state.next)
        return found

    def _node(self, waiting: frozenset[int], before: str) -> _Node:
        if self._cached_steps >= _CACHED_STEPS_MAX:
            self._nodes = {}
            self._cached_steps = 0
        return self._nodes.setdefault((waiting, before), _Node(waiting, before))


@lru_cache(maxsize=128)
def matcher_for(regex: str, ignore_case: bool) -> Matcher:  # noqa: FBT001 - called as SQL functions call
    """The matcher for a pattern, compiled once. Raises ``RegexError``."""
    return Matcher(regex, ignore_case=ignore_case)


def _poll(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise SearchCancelledError("The search for a pattern was called off.")


def _forms(char: str) -> set[str]:
    """``char`` in both cases, as far as these are single characters."""
    return {form for form in (char, char.lower(), char.upper()) if len(form) == 1}


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _passes(state: State, before: str, after: str) -> bool:
    match state.assertion:
        case None:
            return True
        case "^":
            return before is _EDGE
        case "$":
            return after is _EDGE
        case kind:
            return ((before is _WORD) != (after is _WORD)) == (kind == "b")


def _reads(chars: CharSet | None, forms: set[str]) -> bool:
    if chars is None:
        return False
    return any(_within(chars, form) for form in forms) != chars.negated


def _within(chars: CharSet, form: str) -> bool:
    if any(low <= form <= high for low, high in chars.ranges):
        return True
    return any(_of_class(letter, form) for letter in chars.classes)


def _of_class(letter: str, char: str) -> bool:
    match letter.lower():
        case "d":
            belongs = char.isdecimal()
        case "w":
            belongs = _is_word(char)
        case _:
            belongs = char.isspace()
    return belongs == letter.islower()
