"""From an event to the tasks that dispatchers make of it: pure rules, the same for every store."""

from collections.abc import Callable, Iterable

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from taskd.model import limits
from taskd.model.dispatcher import Action, ActionType, Dispatcher
from taskd.model.event import EVENT_CHAIN_MAX, Event
from taskd.model.function import Function
from taskd.model.system_events import TASK_FAILED
from taskd.model.task import TaskDraft
from taskd.model.task_extras import TaskExtras

_encode = msgspec.json.Encoder().encode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class EventView(Struct, gc=False):
    """An event as clients see it, and as functions get it with their task. Times are milliseconds since 1970."""

    id: str
    type: str
    content: Raw | UnsetType
    creation_timestamp: int


def event_view(event: Event) -> EventView:
    """``event`` in the contract's shape."""
    content = UNSET if event.content is None else Raw(event.content)
    return EventView(event.id, event.type, content, event.creation_ms)


class Publication(Struct, frozen=True):
    """An event that was published, and what it led to."""

    event: Event
    tasks: int
    mails: int
    """Actions that send a mail, which nobody does here."""
    withheld: str | None = None
    """Why no task was made although there are actions, for people."""


class Dispatched(Struct, frozen=True):
    """What an event leads to."""

    drafts: list[TaskDraft]
    mails: int = 0
    withheld: str | None = None


def dispatch(event: Event, dispatchers: Iterable[Dispatcher], function: Callable[[str], Function | None]) -> Dispatched:
    """What ``dispatchers``, all of the type of ``event``, make of it. ``function`` finds one by its name."""
    actions = [action for dispatcher in dispatchers for action in dispatcher.actions]
    to_run = [action for action in actions if action.type is ActionType.TASK]
    if not to_run:
        return Dispatched([], len(actions))
    text, mails = _encode(event_view(event)), len(actions) - len(to_run)
    if (withheld := _why_withheld(event, to_run, len(text))) is not None:
        return Dispatched([], mails, withheld)
    return Dispatched([_draft(action, event, text, function) for action in to_run], mails)


def _why_withheld(event: Event, actions: list[Action], event_bytes: int) -> str | None:
    if _chain(event) > EVENT_CHAIN_MAX:
        return f"{EVENT_CHAIN_MAX} tasks in a row were made because the one before failed"
    size_bytes = len(actions) * event_bytes + sum(len(action.data or b"") for action in actions)
    if size_bytes > limits.DISPATCHED_MAX_BYTES:
        of_all = f"{len(actions)} tasks with {size_bytes} bytes of data"
        return f"{of_all} would be made, and {limits.DISPATCHED_MAX_BYTES} is the limit for one event"
    return None


def _chain(event: Event) -> int:
    """Of the tasks that are made of ``event``."""
    return event.chain + 1 if event.type == TASK_FAILED else event.chain


def _draft(action: Action, event: Event, text: bytes, function: Callable[[str], Function | None]) -> TaskDraft:
    known = function(action.function_name)
    chain = _chain(event)
    return TaskDraft(
        function_name=action.function_name,
        data=with_event(action.data or b"{}", text),
        start_ms=event.creation_ms if action.start_ms is None else action.start_ms,
        priority=0 if known is None else known.default_priority,
        tags=action.tags or (),
        created_by_user_id=event.created_by_user_id,
        created_by_application_id=event.created_by_application_id,
        extras=TaskExtras(event_chain=chain) if chain else None,
    )


def with_event(data: bytes, event: bytes) -> bytes:
    """The object ``data`` with the event as its field ``event``, whatever it had there. All else stays as it came."""
    if b'"event"' in data or b"\\" in data:  # maybe not at the top, or a name that is written another way
        fields = _decode_fields(data)
        fields.pop("event", None)
        data = _encode(fields)
    begin = data.rstrip()[:-1].rstrip()  # without its last brace
    is_empty = begin.lstrip() == b"{"
    return b"".join((begin, b'"event":' if is_empty else b',"event":', event, b"}"))
