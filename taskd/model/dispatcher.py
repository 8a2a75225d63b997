"""Dispatchers: what is to be done when an event of some type is stored, and the rules that they keep.

Each change is a function from a dispatcher to what becomes of it; the tasks are :mod:`taskd.model.dispatching`'s.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from taskd.model import limits
from taskd.model.errors import ALREADY_EXISTS, ILLEGAL_STATE, RESOURCE_UNKNOWN, ContractError


class ActionType(StrEnum):
    """What an action does."""

    TASK = "task"
    MAIL = "mail"
    """Kept, and does nothing: there is no mail service here."""


class Action(Struct, frozen=True, gc=False, array_like=True):
    """One thing to do. Persisted as an array in this order: add new fields at the end, with a default."""

    id: str
    """Empty until it is part of a dispatcher."""
    type: ActionType
    name: str | None = None
    description: str | None = None
    function_name: str = ""
    data: bytes | None = None
    """Of a task: the JSON text of an object, as it came in."""
    tags: tuple[str, ...] | None = None
    start_ms: int | None = None
    """When each task of it is due; ``None`` if at once."""
    recipients: bytes | None = None
    """Of a mail: the JSON text of an object, as it came in."""
    template_id: str | None = None


class DispatcherDraft(Struct, frozen=True):
    """What a caller asks for; the store makes a :class:`Dispatcher` of it."""

    event_type: str
    actions: tuple[Action, ...]
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None


class Dispatcher(Struct, frozen=True, array_like=True):
    """What is to be done when there is an event. Persisted in this order: add new fields at the end, with a default."""

    id: str
    event_type: str
    actions: tuple[Action, ...]
    creation_ms: int
    update_ms: int
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None


def create(draft: DispatcherDraft, ids: Iterable[str], now_ms: int) -> Dispatcher:
    """A new dispatcher from a draft; ``ids`` are for it and for its actions."""
    numbered = iter(ids)
    return Dispatcher(
        id=next(numbered),
        event_type=draft.event_type,
        actions=tuple(replace(action, id=next(numbered)) for action in draft.actions),
        creation_ms=now_ms,
        update_ms=now_ms,
        name=draft.name,
        description=draft.description,
        tags=draft.tags,
    )


def with_action(dispatcher: Dispatcher, action: Action, now_ms: int) -> Dispatcher:
    """``action``, which has its id, comes last."""
    return replace(dispatcher, actions=(*dispatcher.actions, action), update_ms=now_ms)


def with_changed_action(dispatcher: Dispatcher, changed: Action, now_ms: int) -> Dispatcher:
    """``changed`` is in the place of the action that has its id."""
    action_of(dispatcher, changed.id)
    actions = tuple(changed if action.id == changed.id else action for action in dispatcher.actions)
    return replace(dispatcher, actions=actions, update_ms=now_ms)


def without_action(dispatcher: Dispatcher, action_id: str, now_ms: int) -> Dispatcher:
    """The action is gone."""
    gone = action_of(dispatcher, action_id)
    return replace(dispatcher, actions=tuple(each for each in dispatcher.actions if each != gone), update_ms=now_ms)


def action_of(dispatcher: Dispatcher, action_id: str) -> Action:
    """The action of this id; ``ContractError(RESOURCE_UNKNOWN)`` if there is none."""
    for action in dispatcher.actions:
        if action.id == action_id:
            return action
    raise ContractError(RESOURCE_UNKNOWN, f"Dispatcher {dispatcher.id} has no action with the id {action_id}.")


def require_fit(dispatcher: Dispatcher, others: Collection[Dispatcher]) -> None:
    """Raises ``ContractError`` unless ``dispatcher`` may be beside all ``others``.

    ``ALREADY_EXISTS`` if a name is taken, ``ILLEGAL_STATE`` if there are too many, or they have too much data.
    """
    _require_names(dispatcher, others)
    alike = [other for other in others if other.event_type == dispatcher.event_type]
    if len(dispatcher.actions) > limits.DISPATCHER_ACTIONS_MAX:
        raise _too_much(f"A dispatcher has at most {limits.DISPATCHER_ACTIONS_MAX} actions")
    if len(alike) >= limits.DISPATCHERS_PER_TYPE_MAX:
        raise _too_much(f"There are {len(alike)} dispatchers for events of type {dispatcher.event_type}")
    if len(others) >= limits.DISPATCHERS_MAX:
        raise _too_much(f"There are {len(others)} dispatchers")
    data_bytes = sum(len(action.data or b"") for each in (*alike, dispatcher) for action in each.actions)
    if data_bytes > limits.DISPATCHED_DATA_MAX_BYTES:
        raise _too_much(f"The actions for one event have {data_bytes} bytes of data together")


def _require_names(dispatcher: Dispatcher, others: Collection[Dispatcher]) -> None:
    if dispatcher.name is not None and any(other.name == dispatcher.name for other in others):
        raise ContractError(ALREADY_EXISTS, f"There is a dispatcher named {dispatcher.name!r} already.")
    names = [action.name for action in dispatcher.actions if action.name is not None]
    if repeated := {name for name in names if names.count(name) > 1}:
        message = f"More than one action would be named {min(repeated)!r}; names are unique within a dispatcher."
        raise ContractError(ALREADY_EXISTS, message)


def _too_much(what: str) -> ContractError:
    return ContractError(ILLEGAL_STATE, f"{what}, which is the limit; take some away first.")
