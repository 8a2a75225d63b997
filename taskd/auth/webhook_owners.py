"""Whether those who had webhooks told of tasks and events may still look at them."""

from taskd.auth.service import AuthService
from taskd.model.webhook import Webhook, view_permissions


class WebhookOwners:
    """Says so of users and applications by their ids, by the accounts in force now."""

    def __init__(self, auth: AuthService) -> None:
        self._auth = auth

    def objection(self, webhook: Webhook) -> str | None:
        """Why nothing is to be delivered to it in the name of who made it, for people; ``None`` if it may be.

        As for those who have tasks made, see :meth:`taskd.auth.task_creators.TaskCreators.objection`.
        """
        directory = self._auth.directory
        user_id = webhook.created_by_user_id
        principal_id = user_id or webhook.created_by_application_id
        if principal_id is None:
            return None
        kind = "user" if user_id else "application"
        principal = directory.user(principal_id) if user_id else directory.application(principal_id)
        if principal is None and user_id and self._auth.knows_an_issuer:
            return None
        if principal is None:
            return f"The {kind} {principal_id} that it was made by is gone."
        held = directory.permissions(principal.permissions, principal.roles)
        lacking = [permission for permission in view_permissions(webhook) if permission not in held]
        return f"The {kind} {principal_id} that it was made by lacks {lacking[0]}." if lacking else None
