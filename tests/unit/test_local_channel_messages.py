"""Messages of a sandbox's channel, however they come in."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.model import limits
from taskd.runtime.local.channel import ERROR, READY, RESULT, Messages

ID = b"0123456789abcdef0123456789abcdef0123"
LIMIT_BYTES = limits.LAMBDA_PAYLOAD_MAX_BYTES


def message(kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack(">BI36s", kind, len(body) if length is None else length, ID) + body


@given(
    bodies=st.lists(st.binary(max_size=100), max_size=5),
    cuts=st.lists(st.integers(0, 800), max_size=12),
)
def test_messages_are_the_same_in_whatever_pieces_they_come(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(message(RESULT, body) for body in bodies)
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    messages = Messages()
    found = [one for begin, end in pairwise(places) for one in messages.feed(stream[begin:end])]
    assert found == [(RESULT, ID, body) for body in bodies]


@pytest.mark.parametrize("size", [LIMIT_BYTES - 1, LIMIT_BYTES])
def test_a_body_of_the_largest_size_is_taken(size: int) -> None:
    assert Messages().feed(message(ERROR, b"x" * size)) == [(ERROR, ID, b"x" * size)]


@pytest.mark.parametrize("chunk_bytes", [1 << 16, 1 << 20, 1 << 30])
def test_a_body_that_is_too_large_is_told_at_once_and_never_kept(chunk_bytes: int) -> None:
    messages, body = Messages(), b"x" * (LIMIT_BYTES + 1)
    stream = message(RESULT, body) + message(READY)
    found = []
    for begin in range(0, len(stream), chunk_bytes):
        found.append(messages.feed(stream[begin : begin + chunk_bytes]))
        assert len(messages._buffer) < 100
    assert found[0][0] == (RESULT, ID, None)
    assert [one for some in found for one in some] == [(RESULT, ID, None), (READY, ID, b"")]


def test_no_length_that_is_claimed_takes_memory() -> None:
    messages = Messages()
    assert messages.feed(message(RESULT, b"x", length=0xFFFFFFFF)) == [(RESULT, ID, None)]
    assert messages.feed(b"y" * 100_000) == []
    assert not messages._buffer
