"""The body that pauses a schedule or a function: a small file, since neither is the other's."""

from typing import Annotated

from msgspec import Meta, Struct

from taskd.api.validation.body_decoder import BodyDecoder
from taskd.model import limits

Note = Annotated[str, Meta(max_length=limits.NOTE_MAX_CHARS)]
NOTE_RULE = f"a string of at most {limits.NOTE_MAX_CHARS} characters"


class PauseBody(Struct, gc=False):
    """``POST …/pause``: why, for people."""

    reason: Annotated[Note | None, Meta(description=NOTE_RULE)] = None


_decode = BodyDecoder(PauseBody)


def pause_reason(body: bytes) -> str | None:
    """The reason in ``body``, which may be empty.

    :raises ContractError: ``BODY_FORMAT`` or ``FIELD_FORMAT``.
    """
    return _decode(body or b"{}").reason or None
