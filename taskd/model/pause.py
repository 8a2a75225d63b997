"""Everything is paused, as for a night of maintenance: nothing is started, and what runs goes on."""

from msgspec import Struct

from taskd.model.errors import UNAVAILABLE, ContractError
from taskd.model.timestamps import format_ms


class Pause(Struct, frozen=True, gc=False, array_like=True):
    """Since when, and why. Persisted as an array in this order: add new fields at the end, with a default."""

    since_ms: int
    reason: str | None = None
    """For people."""
    user_id: str | None = None
    application_id: str | None = None
    """Whoever paused it, or gave the reason last."""


def described(pause: Pause) -> str:
    """``pause`` in words."""
    since = f"everything is paused since {format_ms(pause.since_ms)}"
    return since if pause.reason is None else f"{since}: {pause.reason}"


def require_unpaused(pause: Pause | None) -> None:
    """Raises ``ContractError`` (``UNAVAILABLE``) while everything is paused: a call that is waited for cannot wait."""
    if pause is not None:
        words = described(pause)
        message = f"{words[0].upper()}{words[1:].removesuffix('.')}. Call again once `taskd resume` has ended that."
        raise ContractError(UNAVAILABLE, message)
