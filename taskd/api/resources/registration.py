"""Registering a user: by the vendor's rules a request without credentials, so who may is decided otherwise."""

from collections.abc import Iterator

from aiohttp import web
from msgspec.structs import replace

from taskd.api.http.account_views import UserView, user_view
from taskd.api.http.auditing import Audited, When, note, record_now
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.json_response import json_response
from taskd.api.http.request_body import read_body
from taskd.api.http.routing import Route
from taskd.api.validation.user_body import RegisterBody, registration
from taskd.audit.entry import Action
from taskd.auth.accounts import Accounts, User
from taskd.auth.registration import Opened
from taskd.auth.service import AuthService
from taskd.model import errors, limits
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.objectid import ObjectIdFactory


class RegistrationHandlers:
    """Answers ``/register``."""

    def __init__(self, auth: AuthService, addresses: ClientAddresses, clock: Clock) -> None:
        self._auth = auth
        self._addresses = addresses
        self._new_id = ObjectIdFactory(clock)

    def routes(self) -> Iterator[Route]:
        """The routes below ``/users/v1``."""
        yield Route(
            *("POST", "/register", self.register, None),
            tag="Accounts",
            summary="Register a user",
            body=RegisterBody,
            response=UserView,
            errors=(errors.NO_PERMISSION, errors.EMAIL_USED, errors.ILLEGAL_STATE),
            audited=Audited(Action.USERS_ADD, "user", when=When.ONCE_ADMITTED),
        )

    async def register(self, request: web.Request) -> web.StreamResponse:
        """A user who may do nothing yet, but log in. Who may register one is said under ``[auth] registration``."""
        body = registration(await read_body(request, limits.LOGIN_BODY_MAX_BYTES))
        user_id = self._new_id()
        opened = self._auth.registrations.attempt(body.email, user_id, self._addresses.of(request))
        await record_now(request, body.email, looked_up_by=opened.by)
        if opened.user_id != user_id:
            await self._auth.change(lambda accounts: _without_user(accounts, opened.user_id))
            raise self._auth.registrations.refusal()
        hashed = await self._auth.logins.hashed(body.password)
        user = await self._auth.change(lambda accounts: self._with_user(accounts, _user(user_id, body, hashed), opened))
        note(request, user.id, email=user.email)
        return json_response(user_view(user, self._auth.directory))

    def _with_user(self, accounts: Accounts, user: User, opened: Opened) -> tuple[Accounts, User]:
        if opened.is_void:
            raise self._auth.registrations.refusal()
        if any(other.email == user.email for other in accounts.users):
            raise ContractError(errors.EMAIL_USED, f"There is a user with the email {user.email} already.")
        if len(accounts.users) >= limits.USERS_MAX:
            raise ContractError(errors.ILLEGAL_STATE, f"There are {limits.USERS_MAX} users, and may be no more.")
        return replace(accounts, users=(*accounts.users, user)), user


def _user(user_id: str, body: RegisterBody, hashed: str) -> User:
    return User(
        user_id,
        body.email,
        hashed,
        body.first_name or "",
        body.last_name or "",
        phone_number=body.phone_number or "",
        language=body.language or "",
    )


def _without_user(accounts: Accounts, user_id: str) -> tuple[Accounts, None]:
    users = tuple(user for user in accounts.users if user.id != user_id)
    api_tokens = tuple(token for token in accounts.tokens if token.owner != user_id)
    return replace(accounts, users=users, tokens=api_tokens), None
