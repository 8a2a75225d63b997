"""Runs a pattern over a text, one step a character whatever the pattern is: a lazy DFA over a Thompson NFA.

The deterministic automaton is built as texts need it, and thrown away when it grows too large, so neither time nor
memory can be driven up by a hostile pattern; a long run can be called off. See Russ Cox, "Regular Expression Matching
Can Be Simple And Fast", 2007.
"""

from collections.abc import Callable
from functools import lru_cache

from taskd.model.errors import TaskdError
from taskd.rql.nfa import Nfa, NfaState, compile_regex
from taskd.rql.regex import CharSet

_CACHED_TRANSITIONS_MAX = 20_000
_CHARS_PER_POLL = 65_536
_TRANSITIONS_PER_POLL = 128

_WORD, _OTHER, _EDGE = "word", "other", "edge"
"""What is on one side of a place in the text: a word character, another one, or the text's beginning or end."""


class SearchCancelledError(TaskdError):
    """The search was called off before it came to an end."""


def never() -> bool:
    """For searches that nobody calls off."""
    return False


class _DfaState:
    """A state of the DFA: the states that the NFA may be in after a character of kind ``before``."""

    __slots__ = ("before", "nfa_states", "transitions")

    def __init__(self, nfa_states: frozenset[int], before: str) -> None:
        self.nfa_states = nfa_states
        self.before = before
        self.transitions: dict[str, _DfaState | None] = {}
        """The next state by character; ``None`` once the pattern has matched."""


class Matcher:
    """One pattern, ready to search texts. May be shared by threads."""

    def __init__(self, regex: str, *, ignore_case: bool) -> None:
        """Raises ``RegexError``."""
        self._nfa: Nfa = compile_regex(regex)
        self._ignore_case = ignore_case
        self._states: dict[tuple[frozenset[int], str], _DfaState] = {}
        self._cached_transitions = 0

    @property
    def cost(self) -> int:
        """What it takes to compile the pattern: of some thousands, a few milliseconds."""
        return self._nfa.cost

    def search(self, text: str, cancelled: Callable[[], bool] = never) -> bool:
        """Whether the pattern matches anywhere in ``text``; polls ``cancelled`` at least every few milliseconds.

        Raises :class:`SearchCancelledError` once ``cancelled()`` is true.
        """
        state = self._state(frozenset((self._nfa.start,)), _EDGE)
        for begin in range(0, len(text), _CHARS_PER_POLL):
            _poll(cancelled)
            following = self._run(state, text[begin : begin + _CHARS_PER_POLL], cancelled)
            if following is None:
                return True
            state = following
        return 0 in self._closure(state, _EDGE)

    def _run(self, state: _DfaState, text: str, cancelled: Callable[[], bool]) -> _DfaState | None:
        for char in text:
            try:
                following = state.transitions[char]
            except KeyError:
                following = self._step(state, char)
                if self._cached_transitions % _TRANSITIONS_PER_POLL == 0:
                    _poll(cancelled)
            if following is None:
                return None
            state = following
        return state

    def _step(self, state: _DfaState, char: str) -> _DfaState | None:
        kind = _WORD if _is_word(char) else _OTHER
        closure = self._closure(state, kind)
        following = None if 0 in closure else self._state(self._move(closure, char), kind)
        self._cached_transitions += 1
        state.transitions[char] = following
        return following

    def _move(self, closure: set[int], char: str) -> frozenset[int]:
        """The states after reading ``char``; a match may also begin after it."""
        forms = _forms(char) if self._ignore_case else {char}
        states = self._nfa.states
        moved = (states[i].next[0] for i in closure if _reads(states[i].chars, forms))
        return frozenset((self._nfa.start, *moved))

    def _closure(self, state: _DfaState, after: str) -> set[int]:
        """The epsilon closure: the states reached without reading, between ``state.before`` and ``after``."""
        found: set[int] = set()
        pending = list(state.nfa_states)
        while pending:
            index = pending.pop()
            if index in found:
                continue
            found.add(index)
            passed = self._nfa.states[index]
            if passed.chars is None and _passes(passed, state.before, after):
                pending.extend(passed.next)
        return found

    def _state(self, nfa_states: frozenset[int], before: str) -> _DfaState:
        if self._cached_transitions >= _CACHED_TRANSITIONS_MAX:
            self._states = {}
            self._cached_transitions = 0
        return self._states.setdefault((nfa_states, before), _DfaState(nfa_states, before))


@lru_cache(maxsize=128)
def matcher_for(regex: str, ignore_case: bool) -> Matcher:  # noqa: FBT001 - both are the key of the cache
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


def _passes(state: NfaState, before: str, after: str) -> bool:
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
