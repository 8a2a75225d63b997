"""Tokens of ours: only what we signed, for what it was made, for as long as it was meant."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from taskd.auth import tokens
from taskd.auth.tokens import Claims, TokenKind

KEY = b"k" * 32
CLAIMS = Claims("1" * 24, "2" * 24, "3" * 24, generation=4, expiry_ms=5)
SIGNED_KINDS = [kind for kind in TokenKind if kind is not TokenKind.API]


@pytest.mark.parametrize("kind", SIGNED_KINDS)
def test_what_was_issued_is_read(kind: TokenKind) -> None:
    assert tokens.read(KEY, kind, tokens.issue(KEY, kind, CLAIMS)) == CLAIMS


@pytest.mark.parametrize("kind", SIGNED_KINDS)
@pytest.mark.parametrize("other", SIGNED_KINDS)
def test_a_token_of_one_kind_is_none_of_another(kind: TokenKind, other: TokenKind) -> None:
    assert (tokens.read(KEY, other, tokens.issue(KEY, kind, CLAIMS)) is None) == (kind is not other)


def test_a_token_of_another_key_is_none() -> None:
    assert tokens.read(b"x" * 32, TokenKind.ACCESS, tokens.issue(KEY, TokenKind.ACCESS, CLAIMS)) is None


@given(st.data())
def test_a_token_with_any_character_changed_is_none(data: st.DataObject) -> None:
    token = tokens.issue(KEY, TokenKind.ACCESS, CLAIMS)
    at = data.draw(st.integers(0, len(token) - 1))
    changed = token[:at] + data.draw(st.characters()) + token[at + 1 :]
    assume(changed != token)
    assert tokens.read(KEY, TokenKind.ACCESS, changed) is None


@given(st.text(max_size=100))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    assert tokens.read(KEY, TokenKind.ACCESS, TokenKind.ACCESS + text) is None


def test_an_expiry_of_zero_is_never() -> None:
    never = Claims("1" * 24, "2" * 24, "3" * 24, generation=0, expiry_ms=0)
    assert not never.is_expired(10**15)
    assert CLAIMS.is_expired(5)
    assert not CLAIMS.is_expired(4)


def test_the_secret_of_an_oauth1_token_depends_on_token_and_key() -> None:
    secrets = {tokens.oauth1_secret(key, token) for key in (KEY, b"x" * 32) for token in ("a", "b")}
    assert len(secrets) == 4
