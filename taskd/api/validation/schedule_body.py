"""Bodies that say what is to become of a schedule that is there."""

from typing import Annotated

from msgspec import Meta, Struct

from taskd.api.validation.body_decoder import BodyDecoder
from taskd.model import limits

_REASON_RULE = f"a string of at most {limits.NOTE_MAX_CHARS} characters"


class PauseBody(Struct, gc=False):
    """``POST /schedules/{id}/pause``: why, for people."""

    reason: Annotated[Annotated[str, Meta(max_length=limits.NOTE_MAX_CHARS)] | None, Meta(description=_REASON_RULE)] = (
        None
    )


decode_pause = BodyDecoder(PauseBody)


def pause_reason(body: PauseBody) -> str | None:
    """The reason, if there is one."""
    return body.reason or None
