"""Bodies of dispatchers and of their actions, and what each asks for or changes."""

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field
from msgspec.structs import replace

from taskd.api.validation.body_decoder import BodyDecoder, Number, field_error, missing_fields
from taskd.api.validation.event_body import event_type
from taskd.api.validation.task_body import Tags, function_reference, moment_ms, object_text
from taskd.model import limits
from taskd.model.dispatcher import Action, ActionType, Dispatcher, DispatcherDraft
from taskd.model.objectid import is_object_id

_MOMENT_RULE = "an RFC 3339 timestamp or a number of milliseconds"
_TYPE_RULE = f"one of {', '.join(ActionType)}"
_NAME_RULE = f"a string of at most {limits.DISPATCHER_NAME_MAX_CHARS} characters"
_DESCRIPTION_RULE = f"a string of at most {limits.NOTE_MAX_CHARS} characters"
_ACTIONS_RULE = f"an array of at most {limits.DISPATCHER_ACTIONS_MAX} objects"
_Name = Annotated[str, Meta(max_length=limits.DISPATCHER_NAME_MAX_CHARS)]
_Description = Annotated[str, Meta(max_length=limits.NOTE_MAX_CHARS)]
_Tag = Annotated[str, Meta(max_length=limits.TASK_TAG_MAX_CHARS)]
_Tags = Annotated[tuple[_Tag, ...], Meta(max_length=limits.TASK_TAGS_MAX)]
_TAGS_RULE = f"an array of at most {limits.TASK_TAGS_MAX} strings of at most {limits.TASK_TAG_MAX_CHARS} characters"


class ActionBody(Struct, rename="camel", kw_only=True, gc=False):
    """``POST …/actions``, and an action of a dispatcher to create: of a task, or of a mail."""

    type: Annotated[ActionType, Meta(description=_TYPE_RULE)]
    name: Annotated[_Name | None, Meta(description=_NAME_RULE)] = None
    description: Annotated[_Description | None, Meta(description=_DESCRIPTION_RULE)] = None
    function_name: Annotated[str | None, Meta(description="a string")] = None
    data: Raw = field(default_factory=Raw)
    tags: Tags = None
    start_timestamp: Annotated[str | Number | None, Meta(description=_MOMENT_RULE)] = None
    recipients: Raw = field(default_factory=Raw)
    template_id: Annotated[str | None, Meta(description="a string")] = None


class ActionUpdateBody(Struct, rename="camel", kw_only=True, gc=False):
    """``PUT …/actions/{id}``: what is to change; null takes away what may be left out."""

    type: Annotated[ActionType | None, Meta(description=_TYPE_RULE)] = None
    name: Annotated[_Name | UnsetType | None, Meta(description=_NAME_RULE)] = UNSET
    description: Annotated[_Description | UnsetType | None, Meta(description=_DESCRIPTION_RULE)] = UNSET
    function_name: Annotated[str | None, Meta(description="a string")] = None
    data: Raw = field(default_factory=Raw)
    tags: Annotated[_Tags | UnsetType | None, Meta(description=_TAGS_RULE)] = UNSET
    start_timestamp: Annotated[str | Number | UnsetType | None, Meta(description=_MOMENT_RULE)] = UNSET
    recipients: Raw = field(default_factory=Raw)
    template_id: Annotated[str | UnsetType | None, Meta(description="a string")] = UNSET


class DispatcherBody(Struct, rename="camel", kw_only=True, gc=False):
    """``POST /``: a dispatcher to create."""

    event_type: Annotated[str, Meta(description="a string")]
    actions: Annotated[
        Annotated[tuple[ActionBody, ...], Meta(max_length=limits.DISPATCHER_ACTIONS_MAX)],
        Meta(description=_ACTIONS_RULE),
    ]
    name: Annotated[_Name | None, Meta(description=_NAME_RULE)] = None
    description: Annotated[_Description | None, Meta(description=_DESCRIPTION_RULE)] = None
    tags: Tags = None


class DispatcherUpdateBody(Struct, rename="camel", kw_only=True, gc=False):
    """``PUT /{id}``: what is to change; null takes away what may be left out. Actions are changed one by one."""

    event_type: Annotated[str | None, Meta(description="a string")] = None
    name: Annotated[_Name | UnsetType | None, Meta(description=_NAME_RULE)] = UNSET
    description: Annotated[_Description | UnsetType | None, Meta(description=_DESCRIPTION_RULE)] = UNSET
    tags: Annotated[_Tags | UnsetType | None, Meta(description=_TAGS_RULE)] = UNSET


decode_dispatcher = BodyDecoder(DispatcherBody)
decode_dispatcher_update = BodyDecoder(DispatcherUpdateBody)
decode_action = BodyDecoder(ActionBody)
decode_action_update = BodyDecoder(ActionUpdateBody)


def dispatcher_draft(body: DispatcherBody) -> DispatcherDraft:
    """What ``body`` asks for.

    :raises ContractError: ``MISSING_FIELDS``, ``FIELD_FORMAT`` naming the field and its rule, or ``BODY_TOO_LARGE``.
    """
    return DispatcherDraft(
        event_type=event_type("eventType", body.event_type),
        actions=tuple(action_of(action) for action in body.actions),
        name=body.name,
        description=body.description,
        tags=body.tags,
    )


def updated_dispatcher(kept: Dispatcher, body: DispatcherUpdateBody, now_ms: int) -> Dispatcher:
    """``kept`` with what ``body`` changes. Raises ``ContractError`` (``FIELD_FORMAT``)."""
    return replace(
        kept,
        event_type=kept.event_type if body.event_type is None else event_type("eventType", body.event_type),
        name=kept.name if body.name is UNSET else body.name,
        description=kept.description if body.description is UNSET else body.description,
        tags=kept.tags if body.tags is UNSET else body.tags,
        update_ms=now_ms,
    )


def action_of(body: ActionBody) -> Action:
    """The action that ``body`` asks for, without an id. Raises as :func:`dispatcher_draft` does."""
    is_task = body.type is ActionType.TASK
    if is_task and body.function_name is None:
        raise missing_fields(["functionName"])
    return Action(
        id="",
        type=body.type,
        name=body.name,
        description=body.description,
        function_name=function_reference(body.function_name or "") if is_task else "",
        data=_data(body.data) if is_task else None,
        tags=body.tags if is_task else None,
        start_ms=_start_ms(body.start_timestamp) if is_task else None,
        recipients=None if is_task else _recipients(body.recipients),
        template_id=None if is_task else _template_id(body.template_id),
    )


def updated_action(kept: Action, body: ActionUpdateBody) -> Action:
    """``kept`` with what ``body`` changes; fields of the other type are ignored. Raises as :func:`action_of` does."""
    if body.type is not None and body.type is not kept.type:
        raise field_error("type", f"stay {kept.type}; make another action for another type")
    changed = replace(
        kept,
        name=kept.name if body.name is UNSET else body.name,
        description=kept.description if body.description is UNSET else body.description,
    )
    return _updated_task(changed, body) if kept.type is ActionType.TASK else _updated_mail(changed, body)


def _updated_task(kept: Action, body: ActionUpdateBody) -> Action:
    return replace(
        kept,
        function_name=kept.function_name if body.function_name is None else function_reference(body.function_name),
        data=_data(body.data) if bytes(body.data) else kept.data,
        tags=kept.tags if body.tags is UNSET else body.tags,
        start_ms=kept.start_ms if body.start_timestamp is UNSET else _start_ms(body.start_timestamp),
    )


def _updated_mail(kept: Action, body: ActionUpdateBody) -> Action:
    return replace(
        kept,
        recipients=_recipients(body.recipients) if bytes(body.recipients) else kept.recipients,
        template_id=kept.template_id if body.template_id is UNSET else _template_id(body.template_id),
    )


def _start_ms(value: str | Number | None) -> int | None:
    return None if value is None else moment_ms("startTimestamp", value)


def _data(raw: Raw) -> bytes | None:
    if bytes(raw) in (b"", b"null"):
        return None
    return object_text(raw, bytes_max=limits.DISPATCHER_DATA_MAX_BYTES)


def _recipients(raw: Raw) -> bytes | None:
    if bytes(raw) in (b"", b"null"):
        return None
    return object_text(raw, "recipients", bytes_max=limits.MAIL_RECIPIENTS_MAX_BYTES)


def _template_id(value: str | None) -> str | None:
    if value is not None and not is_object_id(value):
        raise field_error("templateId", "be an id: 24 hexadecimal digits, in lower case")
    return value
