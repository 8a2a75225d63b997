"""Who is calling, and what they may do."""

from msgspec import Struct

from taskd.model.permissions import ALL, Permission


class Caller(Struct, frozen=True):
    """The one a request is made for. ``permissions`` holds names, whole (``VIEW_TASKS``) or for one function
    (``EXECUTE_TASK_FUNCTION:reports``); and ``ALL`` besides, where that was granted."""

    user_id: str | None = None
    application_id: str | None = None
    permissions: frozenset[str] = frozenset()
    is_authenticated: bool = False
    token_id: str | None = None
    """Of the API token that was shown."""
    restriction: frozenset[str] | None = None
    """The permissions that credentials of a narrower kind were made for; ``None`` if for all that their owner may."""

    @property
    def key(self) -> str | None:
        """Tells callers apart: a user whatever application they use, or an application on its own."""
        return self.user_id or self.application_id

    def may(self, permission: Permission, function_name: str | None = None) -> bool:
        """Whether the caller has ``permission``, for everything or for this function."""
        return _includes(self.permissions, permission, function_name)

    def may_as_user(self, permission: Permission, function_name: str) -> bool:
        """Whether the caller may do what every user may, with credentials that were made for it."""
        if self.restriction is None:
            return self.is_authenticated
        return self.is_authenticated and _includes(self.restriction, permission, function_name)


def _includes(names: frozenset[str], permission: Permission, function_name: str | None) -> bool:
    whole = permission.value in names
    return whole or (function_name is not None and f"{permission.value}:{function_name}" in names)


ANONYMOUS = Caller()
"""The caller of a request that shows no credentials."""
EVERYTHING = Caller(
    permissions=frozenset([ALL, *(permission.value for permission in Permission)]), is_authenticated=True
)
"""The caller of a service that asks nobody who they are."""
