"""What happened to accounts, told by comparing them with those that were in force before.

So it is told whoever changed them: a call, a command on the files, or an editor.
"""

from collections.abc import Iterator

from msgspec import Struct

from taskd.auth.accounts import Accounts

USER_CREATED = "user_created"
USER_DELETED = "user_deleted"
PASSWORD_UPDATED = "password_update_completed"  # noqa: S105  the name of what happened


class AccountEvent(Struct, frozen=True):
    """One thing that happened: its type, and its content as the vendor's system events have it."""

    type: str
    content: dict[str, str]


def account_events(before: Accounts, after: Accounts) -> Iterator[AccountEvent]:
    """What turned the accounts ``before`` into ``after``."""
    if before.users == after.users:
        return
    former, present = ({user.id: user for user in accounts.users} for accounts in (before, after))
    yield from (AccountEvent(USER_CREATED, {"id": each}) for each in present if each not in former)
    yield from (AccountEvent(USER_DELETED, {"id": each}) for each in former if each not in present)
    for user in present.values():
        if user.id in former and user.password != former[user.id].password:
            yield AccountEvent(PASSWORD_UPDATED, {"user_id": user.id})
