"""Bodies of events and of subscriptions to them, in snake_case as the event service has it; and what each asks for."""

import re
from typing import Annotated

from msgspec import Meta, Raw, Struct, field

from taskd.api.validation.body_decoder import BodyDecoder, field_error
from taskd.api.validation.task_body import object_text
from taskd.model import limits
from taskd.model.caller import Caller
from taskd.model.event import EventDraft, ServiceVersion, SubscriptionDraft

_TYPE_RULE = f"a string of 1 to {limits.EVENT_TYPE_MAX_CHARS} characters, none of which controls a terminal"
_TYPE = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{limits.EVENT_TYPE_MAX_CHARS}}}")
_ID = re.compile(rf"[\x21-\x7e]{{1,{limits.EVENT_ID_MAX_CHARS}}}")
_NAME_MAX_CHARS = 256
_ServiceName = Annotated[str, Meta(min_length=1, max_length=_NAME_MAX_CHARS)]
_Number = Annotated[int, Meta(ge=0, le=limits.PRIORITY_MAX)]


class EventBody(Struct, gc=False):
    """``POST /``: an event to keep."""

    type: Annotated[str, Meta(description=_TYPE_RULE)]
    content: Raw = field(default_factory=Raw)
    id: Annotated[str | None, Meta(description="a string")] = None


class VersionBody(Struct):
    """The version of a service."""

    major: _Number
    minor: _Number
    patch: _Number


class ServiceBody(Struct):
    """A service that subscribes."""

    name: _ServiceName
    version: VersionBody


class SubscriptionBody(Struct, gc=False):
    """``POST /subscriptions``: what a service wants to be told of."""

    service: Annotated[ServiceBody, Meta(description='an object such as {"name": "s", "version": {"major": 1, ...}}')]
    event_types: Annotated[
        Annotated[tuple[str, ...], Meta(max_length=limits.SUBSCRIBED_TYPES_MAX)],
        Meta(description=f"an array of at most {limits.SUBSCRIBED_TYPES_MAX} strings"),
    ]
    retriable: Annotated[bool | None, Meta(description="true or false")] = None


decode_event = BodyDecoder(EventBody)
decode_subscription = BodyDecoder(SubscriptionBody)


def event_draft(body: EventBody, caller: Caller) -> EventDraft:
    """What ``body`` tells of, in the name of ``caller``.

    :raises ContractError: ``FIELD_FORMAT`` naming the field and its rule; ``BODY_TOO_LARGE`` for its content.
    """
    if body.id is not None and _ID.fullmatch(body.id) is None:
        raise field_error("id", f"be 1 to {limits.EVENT_ID_MAX_CHARS} visible ASCII characters")
    return EventDraft(
        type=event_type("type", body.type),
        content=_content(body.content),
        id=body.id,
        created_by_user_id=caller.user_id,
        created_by_application_id=caller.application_id,
    )


def subscription_draft(body: SubscriptionBody) -> SubscriptionDraft:
    """What ``body`` asks for. Raises ``ContractError`` (``FIELD_FORMAT``)."""
    version = body.service.version
    return SubscriptionDraft(
        service_name=body.service.name,
        service_version=ServiceVersion(version.major, version.minor, version.patch),
        event_types=tuple(event_type("event_types", name) for name in body.event_types),
        retriable=bool(body.retriable),
    )


def event_type(name: str, value: str) -> str:
    """``value``, which the field ``name`` has, as a type of events."""
    if _TYPE.fullmatch(value) is None:
        raise field_error(name, f"be {_TYPE_RULE}")
    return value


def _content(raw: Raw) -> bytes | None:
    if bytes(raw) in (b"", b"null"):
        return None
    return object_text(
        raw, "content", bytes_max=limits.EVENT_CONTENT_MAX_BYTES, depth_max=limits.EVENT_CONTENT_MAX_DEPTH
    )
