"""Whether those in whose name something goes on by itself may still have it done."""

from collections.abc import Collection

from taskd.auth.service import AuthService
from taskd.model.operation import PERMISSIONS, Operation
from taskd.model.permissions import Permission
from taskd.model.schedule import Schedule
from taskd.model.webhook import Webhook, view_permissions


class TaskCreators:
    """Says so of users and applications by their ids, by the accounts in force now."""

    def __init__(self, auth: AuthService) -> None:
        self._auth = auth

    def objection(self, schedule: Schedule) -> str | None:
        """Why it is to make no tasks in the name of who created it, for people; ``None`` if it may."""
        return self._objection(schedule, (Permission.CREATE_TASKS,), "makes tasks for")

    def operation_objection(self, operation: Operation) -> str | None:
        """Why it is to do nothing more in the name of who created it, for people; ``None`` if it may."""
        return self._objection(operation, PERMISSIONS[operation.action], "works for")

    def webhook_objection(self, webhook: Webhook) -> str | None:
        """Why nothing is to be delivered to it in the name of who made it, for people; ``None`` if it may be."""
        return self._objection(webhook, view_permissions(webhook), "was made by")

    def _objection(
        self, work: Schedule | Operation | Webhook, permissions: Collection[Permission], does: str
    ) -> str | None:
        """What the one whom ``work`` is for lacks.

        A user counts before the application that they use, as where they call themselves. There is no objection to
        what nobody is known to have asked for, nor to users of an issuer: only their tokens say what they may.
        """
        directory = self._auth.directory
        user_id = work.created_by_user_id
        principal_id = user_id or work.created_by_application_id
        if principal_id is None:
            return None
        kind = "user" if user_id else "application"
        principal = directory.user(principal_id) if user_id else directory.application(principal_id)
        if principal is None and user_id and self._auth.knows_an_issuer:
            return None
        if principal is None:
            return f"The {kind} {principal_id} that it {does} is gone."
        held = directory.permissions(principal.permissions, principal.roles)
        lacking = [permission for permission in permissions if permission not in held]
        return f"The {kind} {principal_id} that it {does} lacks {lacking[0]}." if lacking else None
