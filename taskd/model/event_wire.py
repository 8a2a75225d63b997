"""The JSON shapes of subscriptions and dispatchers, made from the model. Times are milliseconds since 1970."""

from msgspec import UNSET, Raw, Struct, UnsetType

from taskd.model.dispatcher import Action, Dispatcher
from taskd.model.event import ServiceVersion, Subscription
from taskd.model.timestamps import format_ms


class VersionView(Struct):
    """The version of a service."""

    major: int
    minor: int
    patch: int


class ServiceView(Struct):
    """A service that subscribes."""

    name: str
    version: VersionView


class SubscriptionView(Struct):
    """A subscription as clients see it."""

    id: str
    service: ServiceView
    event_types: tuple[str, ...]
    retriable: bool
    creation_timestamp: int
    update_timestamp: int


def subscription_view(subscription: Subscription) -> SubscriptionView:
    """``subscription`` in the contract's shape."""
    return SubscriptionView(
        id=subscription.id,
        service=ServiceView(subscription.service_name, _version_view(subscription.service_version)),
        event_types=subscription.event_types,
        retriable=subscription.retriable,
        creation_timestamp=subscription.creation_ms,
        update_timestamp=subscription.update_ms,
    )


def _version_view(version: ServiceVersion) -> VersionView:
    return VersionView(version.major, version.minor, version.patch)


class ActionView(Struct, rename="camel", kw_only=True):
    """An action as clients see it: of type ``task``, or of type ``mail``, which is kept and does nothing here."""

    id: str
    type: str
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    function_name: str | UnsetType = UNSET
    data: Raw | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    start_timestamp: str | UnsetType = UNSET
    recipients: Raw | UnsetType = UNSET
    template_id: str | UnsetType = UNSET


def action_view(action: Action) -> ActionView:
    """``action`` in the contract's shape; fields that are not set are left out."""
    return ActionView(
        id=action.id,
        type=action.type.value,
        name=_given(action.name),
        description=_given(action.description),
        function_name=action.function_name or UNSET,
        data=UNSET if action.data is None else Raw(action.data),
        tags=UNSET if action.tags is None else action.tags,
        start_timestamp=UNSET if action.start_ms is None else format_ms(action.start_ms),
        recipients=UNSET if action.recipients is None else Raw(action.recipients),
        template_id=_given(action.template_id),
    )


class DispatcherView(Struct, rename="camel", kw_only=True):
    """A dispatcher as clients see it, its actions inside."""

    id: str
    event_type: str
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    actions: list[ActionView]
    tags: tuple[str, ...] | UnsetType = UNSET
    creation_timestamp: int
    update_timestamp: int


def dispatcher_view(dispatcher: Dispatcher) -> DispatcherView:
    """``dispatcher`` in the contract's shape; fields that are not set are left out."""
    return DispatcherView(
        id=dispatcher.id,
        event_type=dispatcher.event_type,
        name=_given(dispatcher.name),
        description=_given(dispatcher.description),
        actions=[action_view(action) for action in dispatcher.actions],
        tags=UNSET if dispatcher.tags is None else dispatcher.tags,
        creation_timestamp=dispatcher.creation_ms,
        update_timestamp=dispatcher.update_ms,
    )


def _given(value: str | None) -> str | UnsetType:
    return UNSET if value is None else value
