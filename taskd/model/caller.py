"""Who is calling, and what they may do."""

from msgspec import Struct

from taskd.model.permissions import Permission


class Caller(Struct, frozen=True):
    """The one a request is made for. ``permissions`` holds names, whole (``VIEW_TASKS``) or for one function
    (``EXECUTE_TASK_FUNCTION:reports``)."""

    user_id: str | None = None
    application_id: str | None = None
    permissions: frozenset[str] = frozenset()
    is_authenticated: bool = False

    def may(self, permission: Permission, function_name: str | None = None) -> bool:
        """Whether the caller has ``permission``, for everything or for this function."""
        whole = permission.value in self.permissions
        return whole or (function_name is not None and f"{permission.value}:{function_name}" in self.permissions)


ANONYMOUS = Caller()
"""The caller of a request that shows no credentials."""
EVERYTHING = Caller(permissions=frozenset(permission.value for permission in Permission), is_authenticated=True)
"""The caller of a service that asks nobody who they are."""
