"""Clients' patterns: they match what Python's ``re`` matches, and no pattern takes more than linear time."""

import itertools
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskd.rql.matcher import Matcher, SearchCancelledError
from taskd.rql.regex import RegexError

ATOMS = st.sampled_from(
    ["a", "b", "_", "é", ".", r"\d", r"\w", r"\S", "[ab]", "[^a]", r"[^\d_]", "[a-c1-]", r"\.", "^", "$", r"\b"]
)


def larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(parts, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
        st.lists(parts, min_size=1, max_size=3).map("".join),
        st.lists(parts, min_size=1, max_size=3).map(lambda p: f"({'|'.join(p)})"),
    )


PATTERNS = st.recursive(ATOMS, larger, max_leaves=6)


@settings(max_examples=400)
@given(PATTERNS, st.text("abB_é1 .-", max_size=8), st.booleans())
def test_same_verdict_as_python(pattern: str, text: str, ignore_case: bool) -> None:
    # Python's $ also matches before a last newline, so there is none in the texts
    expected = re.search(pattern, text, re.IGNORECASE if ignore_case else 0) is not None
    assert Matcher(pattern, ignore_case=ignore_case).search(text) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("", "", True),
        ("^$", "", True),
        ("^$", "x", False),
        ("a.c", "a\nc", False),
        (r"a[\s\S]c", "a\nc", True),
        (r"\u00e9\x41", "éA", True),
        (r"\bfoo\b", "a foo, b", True),
        (r"\bfoo\b", "a food", False),
        (r"\Boo\B", "food", True),
        ("a{,2}", "a{,2}", True),
        ("a{2}$", "baa", True),
        ("[]a]", "]", True),
        ("[a-]", "-", True),
        (r"[\]\-]", "-", True),
        ("x{0}y", "y", True),
        ("(){1000}", "", True),
    ],
)
def test_dialect(pattern: str, text: str, found: bool) -> None:
    assert Matcher(pattern, ignore_case=False).search(text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "(",
            ")",
            "a)",
            "[",
            "[a",
            "[b-a]",
            "*",
            "a**",
            "a{2}{3}",
            "a{3,2}",
            "a{1001}",
            "\\",
            r"(a)\1",
            r"\k",
            r"\x1",
        ),
        *("(?=a)", "(?<!a)", "(?P<n>a)", "(?i)a", "(a{1000}){1000}", "(" * 33 + ")" * 33, "a" * 2_000),
    ],
)
def test_what_cannot_run_in_linear_time_or_makes_no_sense_is_refused(pattern: str) -> None:
    with pytest.raises(RegexError):
        Matcher(pattern, ignore_case=False)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "a*a*a*a*a*b", "(.*)*x", ".*.*.*=.*", "(a?){30}a{30}", "(((a*)*)*)*b"]
)
def test_patterns_that_make_others_backtrack(pattern: str) -> None:
    begin_s = time.process_time()
    Matcher(pattern, ignore_case=True).search("a" * 100_000 + "!")
    assert time.process_time() - begin_s < 2


def test_search_can_be_called_off() -> None:
    # every window of 300 characters is a state of its own
    matcher = Matcher("a.{300}b", ignore_case=False)
    polls = itertools.count()
    text = "".join(random.Random(7).choices("ac", k=100_000))
    with pytest.raises(SearchCancelledError):
        matcher.search(text, lambda: next(polls) > 3)


def test_memory_stays_bounded_when_every_character_is_a_new_state() -> None:
    matcher = Matcher("a.{12}b", ignore_case=False)
    assert not matcher.search("".join(random.Random(7).choices("ac", k=60_000)))
    assert len(matcher._states) <= 20_000
