"""The accounts, indexed: what one request needs is one or two dictionary look-ups away."""

from collections.abc import Iterable

from msgspec.structs import replace

from taskd.auth.accounts import Accounts, ApiToken, Application, Kind, Role, User, expand, normal_email
from taskd.auth.tokens import Claims
from taskd.model.caller import Caller


class Directory:
    """Finds accounts by their ids, keys and hashes. Made anew from each version of the accounts."""

    def __init__(self, accounts: Accounts) -> None:
        self._roles = {role.name: role for role in accounts.roles}
        self._users = {user.id: user for user in accounts.users}
        self._emails = {user.email: user for user in accounts.users}
        self._applications = {app.id: app for app in accounts.applications}
        self._keys = {(app.kind, app.key): app for app in accounts.applications}
        self._tokens = {token.hash: token for token in accounts.tokens}

    @property
    def is_empty(self) -> bool:
        """Whether nobody could ever be authenticated."""
        return not (self._users or self._applications)

    def user(self, user_id: str) -> User | None:
        """The user with this id."""
        return self._users.get(user_id)

    def current_user(self, claims: Claims) -> User | None:
        """The user whom ``claims`` name; ``None`` if they were removed, or their logins ended since."""
        user = self._users.get(claims.user_id)
        return user if user is not None and user.generation == claims.generation else None

    def user_by_email(self, email: str) -> User | None:
        """The user with this email, in whatever case."""
        return self._emails.get(normal_email(email))

    def application(self, application_id: str) -> Application | None:
        """The application with this id."""
        return self._applications.get(application_id)

    def application_by_key(self, kind: Kind, key: str) -> Application | None:
        """The application with this consumer key or client id."""
        return self._keys.get((kind, key))

    def token(self, token_hash: str) -> ApiToken | None:
        """The API token with this hash."""
        return self._tokens.get(token_hash)

    def roles(self, names: Iterable[str]) -> list[Role]:
        """The roles of these names that there are."""
        return [self._roles[name] for name in names if name in self._roles]

    def caller(self, user: User | None, application: Application | None) -> Caller:
        """Who calls when ``user`` does through ``application``; what counts is what the user may."""
        principal = user or application
        return Caller(
            user_id=user.id if user else None,
            application_id=application.id if application else None,
            permissions=self.permissions(principal.permissions, principal.roles) if principal else frozenset(),
            is_authenticated=principal is not None,
        )

    def token_caller(self, token: ApiToken) -> Caller:
        """Who calls with an API token: its owner, with no more permissions than the token has."""
        caller = self.caller(self.user(token.owner), self.application(token.owner))
        if not token.permissions:
            return replace(caller, token_id=token.id)
        restriction = expand(token.permissions)
        return Caller(
            user_id=caller.user_id,
            application_id=caller.application_id,
            permissions=_narrowed(caller.permissions, restriction),
            is_authenticated=caller.is_authenticated,
            token_id=token.id,
            restriction=restriction,
        )

    def permissions(self, names: Iterable[str], roles: Iterable[str]) -> frozenset[str]:
        """All that is granted directly and through roles."""
        return expand(
            name for granted in (names, *(role.permissions for role in self.roles(roles))) for name in granted
        )


def _narrowed(held: frozenset[str], allowed: frozenset[str]) -> frozenset[str]:
    """What is in both; one side may hold a permission whole and the other only for a function."""
    return frozenset(
        {name for name in held if name in allowed or name.partition(":")[0] in allowed}
        | {name for name in allowed if name.partition(":")[0] in held}
    )
