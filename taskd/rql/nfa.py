"""From a pattern to a non-deterministic automaton, part by part, as Thompson constructs it.

Ken Thompson, "Regular Expression Search Algorithm", Communications of the ACM 11(6), 1968.
"""

from msgspec import Struct

from taskd.rql.regex import Alternation, Assertion, CharSet, Concatenation, Part, RegexError, Repetition, parse_regex

_STATES_MAX = 2000
_STEPS_MAX = 3 * _STATES_MAX
"""Parts that are laid out, repetitions included. There may be more than states: ``(()()a){1000}`` has empty ones."""
_TEXT_MAX = 2500
_GROUP_WEIGHT = 5
"""Parsing a parenthesis takes as long as parsing so many other characters."""


class NfaState(Struct, gc=False):
    """A state of the automaton: reads a character of ``chars``, holds if ``assertion`` does, or just goes on.

    ``next`` are the indexes of the states after it. The accepting state has index 0.
    """

    chars: CharSet | None = None
    assertion: str | None = None
    next: tuple[int, ...] = ()


class Nfa(Struct, frozen=True):
    """A non-deterministic automaton: the states, and the index of the first."""

    states: tuple[NfaState, ...]
    start: int
    cost: int = 0
    """What it took to make: the characters of the pattern, weighted, and the steps of laying it out."""


def compile_regex(pattern: str) -> Nfa:
    """The automaton for ``pattern``. Raises :class:`RegexError`."""
    text_cost = len(pattern) + (_GROUP_WEIGHT - 1) * pattern.count("(")
    if text_cost > _TEXT_MAX:
        raise RegexError("the pattern is too large")
    builder = _Builder()
    start = builder.add(parse_regex(pattern), 0)
    return Nfa(tuple(builder.states), start, text_cost + builder.steps)


class _Builder:
    """Lays states out from the end to the beginning: ``add`` gives the entry of a part that goes on to ``after``."""

    def __init__(self) -> None:
        self.states = [NfaState()]
        self.steps = 0

    def add(self, part: Part, after: int) -> int:
        self.steps += 1
        if self.steps > _STEPS_MAX:
            raise RegexError("the pattern is too large")
        match part:
            case CharSet():
                return self._state(NfaState(chars=part, next=(after,)))
            case Assertion():
                return self._state(NfaState(assertion=part.kind, next=(after,)))
            case Concatenation():
                for item in reversed(part.parts):
                    after = self.add(item, after)
                return after
            case Alternation():
                return self._state(NfaState(next=tuple(self.add(item, after) for item in part.parts)))
            case Repetition():
                return self._repeat(part, after)

    def _repeat(self, repetition: Repetition, after: int) -> int:
        entry = self._loop(repetition.part, after) if repetition.most is None else after
        for _ in range((repetition.most or repetition.least) - repetition.least):
            body = self.add(repetition.part, entry)
            if body == entry:
                return after
            entry = self._state(NfaState(next=(body, after)))
        for _ in range(repetition.least):
            body = self.add(repetition.part, entry)
            if body == entry:
                break
            entry = body
        return entry

    def _loop(self, part: Part, after: int) -> int:
        loop = self._state(NfaState())
        self.states[loop].next = (self.add(part, loop), after)
        return loop

    def _state(self, state: NfaState) -> int:
        if len(self.states) >= _STATES_MAX:
            raise RegexError("the pattern is too large")
        self.states.append(state)
        return len(self.states) - 1
