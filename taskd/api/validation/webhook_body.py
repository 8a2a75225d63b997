"""Bodies of webhooks, and the webhook that each asks for."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from taskd.api.validation.body_decoder import BodyDecoder, Number, field_error, whole_number
from taskd.api.validation.pause_body import NOTE_RULE, Note
from taskd.model import limits
from taskd.model import webhook as rules
from taskd.model.caller import Caller
from taskd.model.webhook import TASK_EVENT_PREFIX, TASK_EVENTS, Webhook, WebhookDraft, WebhookSecret
from taskd.rql.conditions import task_condition
from taskd.webhooks.addresses import AllowedAddresses
from taskd.webhooks.signature import is_secret, new_secret
from taskd.webhooks.urls import problem_with

_SECRETS_MAX = 2
_URL_RULE = "a string: a URL such as https://service.example.com/hooks"
_EVENTS_RULE = (
    f"an array of 1 to {limits.WEBHOOK_EVENTS_MAX} strings: {', '.join(TASK_EVENTS)}, or types of events, "
    f"each of at most {limits.EVENT_TYPE_MAX_CHARS} characters"
)
_RQL_RULE = "a string: conditions in RQL on the task, such as eq(functionName,greet)"
_INCLUDE_RULE = 'an array: ["data"], or empty'
_SECRET_RULE = (
    f"whsec_ and the base64 of {limits.WEBHOOK_SECRET_MIN_BYTES} to {limits.WEBHOOK_SECRET_MAX_BYTES} random bytes"
)
EventType = Annotated[str, Meta(min_length=1, max_length=limits.EVENT_TYPE_MAX_CHARS)]
Events = Annotated[tuple[EventType, ...], Meta(min_length=1, max_length=limits.WEBHOOK_EVENTS_MAX)]
Include = tuple[Literal["data"], ...]


class WebhookBody(Struct, kw_only=True, gc=False):
    """``POST /webhooks``: whom to tell of what."""

    url: Annotated[str, Meta(description=_URL_RULE)]
    events: Annotated[Events, Meta(description=_EVENTS_RULE)]
    rql: Annotated[str | None, Meta(description=_RQL_RULE)] = None
    description: Annotated[Note | None, Meta(description=NOTE_RULE)] = None
    include: Annotated[Include | None, Meta(description=_INCLUDE_RULE)] = None
    enabled: Annotated[bool | None, Meta(description="true or false")] = None
    secrets: Annotated[tuple[str, ...] | None, Meta(description=f"an array of one or two strings: {_SECRET_RULE}")] = (
        None
    )


class WebhookUpdateBody(Struct, kw_only=True, gc=False):
    """``PUT /webhooks/{id}``: what is to change; all else stays as it is, and null takes away what may be left out."""

    url: Annotated[str | None, Meta(description=_URL_RULE)] = None
    events: Annotated[Events | None, Meta(description=_EVENTS_RULE)] = None
    rql: Annotated[str | UnsetType | None, Meta(description=_RQL_RULE)] = UNSET
    description: Annotated[Note | UnsetType | None, Meta(description=NOTE_RULE)] = UNSET
    include: Annotated[Include | UnsetType | None, Meta(description=_INCLUDE_RULE)] = UNSET
    enabled: Annotated[bool | None, Meta(description="true or false")] = None
    secrets: Annotated[Any, Meta(description="left out")] = None


class RotationBody(Struct, kw_only=True, rename="camel", gc=False):
    """``POST /webhooks/{id}/rotate``: what to sign with from now on, and how long also with the secret before."""

    secret: Annotated[str | None, Meta(description=f"a string: {_SECRET_RULE}")] = None
    overlap_seconds: Annotated[Number | None, Meta(description="a whole number")] = None


class Rotation(Struct, frozen=True):
    """A rotation to be made."""

    secret: str
    overlap_ms: int


decode_webhook = BodyDecoder(WebhookBody)
decode_webhook_update = BodyDecoder(WebhookUpdateBody)
_decode_rotation = BodyDecoder(RotationBody)


def webhook_draft(body: WebhookBody, caller: Caller, allowed: AllowedAddresses) -> WebhookDraft:
    """What ``body`` asks for; without secrets of the caller's, it has a new one.

    :raises ContractError: ``FIELD_FORMAT`` naming the field and its rule; ``INVALID_RQL``.
    """
    draft = WebhookDraft(
        url=body.url,
        events=tuple(dict.fromkeys(body.events)),
        secrets=_secrets(body.secrets),
        rql=body.rql or None,
        description=body.description or None,
        include_data=bool(body.include),
        enabled=body.enabled is not False,
        created_by_user_id=caller.user_id,
        created_by_application_id=caller.application_id,
    )
    _require_sound(draft, allowed)
    return draft


def updated_webhook(kept: Webhook, body: WebhookUpdateBody, now_ms: int, allowed: AllowedAddresses) -> Webhook:
    """``kept`` with what ``body`` says changed.

    :raises ContractError: as :func:`webhook_draft` does.
    """
    if body.secrets is not None:
        raise field_error("secrets", "be left out: POST …/rotate changes what bodies are signed with")
    changed = replace(
        kept,
        url=kept.url if body.url is None else body.url,
        events=kept.events if body.events is None else tuple(dict.fromkeys(body.events)),
        rql=kept.rql if body.rql is UNSET else body.rql or None,
        description=kept.description if body.description is UNSET else body.description or None,
        include_data=kept.include_data if body.include is UNSET else bool(body.include),
        update_ms=now_ms,
    )
    _require_sound(changed, allowed)
    if body.enabled is None or body.enabled == kept.enabled:
        return changed
    return rules.enable(changed, now_ms) if body.enabled else rules.disable(changed, now_ms, None)


def rotation_of(body: bytes) -> Rotation:
    """The rotation that ``body``, which may be empty, asks for.

    :raises ContractError: ``BODY_FORMAT`` or ``FIELD_FORMAT``.
    """
    asked = _decode_rotation(body or b"{}")
    if asked.secret is not None and not is_secret(asked.secret):
        raise field_error("secret", f"be {_SECRET_RULE}")
    default_s = limits.SECRET_OVERLAP_DEFAULT_S
    overlap_s = whole_number("overlapSeconds", asked.overlap_seconds, 0, limits.SECRET_OVERLAP_MAX_S, default_s)
    return Rotation(asked.secret or new_secret(), overlap_s * 1000)


def changed_fields(body: WebhookUpdateBody) -> list[str]:
    """The names of the fields that ``body`` changes."""
    return [name for name in body.__struct_fields__ if getattr(body, name) not in (None, UNSET)]


def _secrets(given: tuple[str, ...] | None) -> tuple[WebhookSecret, ...]:
    if given is None:
        return (WebhookSecret(new_secret()),)
    if not 1 <= len(given) <= _SECRETS_MAX or not all(map(is_secret, given)):
        raise field_error("secrets", f"be one or two, each {_SECRET_RULE}")
    return tuple(map(WebhookSecret, given))


def _require_sound(webhook: WebhookDraft | Webhook, allowed: AllowedAddresses) -> None:
    """Raises ``ContractError`` unless it can be delivered to, and told of something."""
    if (problem := problem_with(webhook.url, allowed)) is not None:
        raise field_error("url", problem)
    for event in webhook.events:
        if event.startswith(TASK_EVENT_PREFIX) and event not in TASK_EVENTS:
            raise field_error("events", f"have of tasks only {', '.join(TASK_EVENTS)}, not {event!r}")
    if webhook.rql is not None:
        if not set(webhook.events) <= TASK_EVENTS.keys():
            raise field_error("rql", f"be left out unless all events are of tasks: {', '.join(TASK_EVENTS)}")
        task_condition(webhook.rql)
