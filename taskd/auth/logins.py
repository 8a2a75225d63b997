"""Logging in: from a password, a client secret or a refresh token to tokens of ours."""

import hmac
import logging

from msgspec import Struct

from taskd.auth import tokens
from taskd.auth.account_directory import Directory
from taskd.auth.accounts import EMAIL_MAX_CHARS, Application, User, normal_email
from taskd.auth.credential_throttle import CredentialThrottle
from taskd.auth.login_throttle import LoginThrottle, network_of
from taskd.auth.passwords import PASSWORD_MAX_CHARS, PasswordChecker
from taskd.auth.refresh_rotation import RefreshRotation
from taskd.auth.settings import AuthSettings
from taskd.auth.tokens import Claims, TokenKind
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.objectid import ObjectIdFactory

log = logging.getLogger(__name__)


class Grant(Struct, frozen=True):
    """What an OAuth 2 login returns; without ``refresh_token`` where an application logs in for itself."""

    access_token: str
    refresh_token: str | None
    expires_in_s: int
    user_id: str | None
    application_id: str


class OAuth1Token(Struct, frozen=True):
    """What an OAuth 1 login returns."""

    id: str
    token: str
    secret: str
    user_id: str
    application_id: str


class Logins:
    """Checks who logs in, and issues what they call with from then on."""

    def __init__(self, settings: AuthSettings, rotation: RefreshRotation, clock: Clock) -> None:
        self._settings = settings
        self._rotation = rotation
        self._clock = clock
        self._new_id = ObjectIdFactory(clock)
        self._passwords = PasswordChecker()
        self._throttle = LoginThrottle(clock)
        self._clients = CredentialThrottle(clock)
        self._directory: Directory
        self._key: bytes

    def use(self, directory: Directory, key: bytes) -> None:
        """From now on these accounts and this key are in force."""
        self._directory, self._key = directory, key

    def close(self) -> None:
        """Ends the threads that check passwords and keep which tokens were used."""
        self._passwords.close()
        self._rotation.close()

    async def hashed(self, password: str) -> str:
        """``password`` as it may be kept.

        :raises ContractError: ``TOO_MANY_REQUESTS`` while too many passwords wait.
        """
        return await self._passwords.hashed(password)

    async def user(self, email: str, password: str, address: str) -> User:
        """The user with this email and password, who calls from ``address``.

        :raises ContractError: ``WRONG_PASSWORD``, which does not tell whether there is such a user;
            ``TOO_MANY_REQUESTS`` after too many wrong ones.
        """
        account = normal_email(email)[:EMAIL_MAX_CHARS]
        self._throttle.admit(account, address)
        user = self._directory.user_by_email(email)
        right = await self._passwords.check(password[:PASSWORD_MAX_CHARS], user.password if user else None)
        if user is None or not right or len(password) > PASSWORD_MAX_CHARS:
            # not what was sent as the email: some send their password there
            log.warning("login_failed address=%s user=%s", address, user.email if user else "unknown")
            raise ContractError(errors.WRONG_PASSWORD, "The email or the password is wrong.")
        self._throttle.succeeded(account, address)
        return user

    def client(self, client_id: str, secret: str | None, address: str) -> Application:
        """The OAuth 2 application with this id, which has shown its secret, from ``address``, if it has one.

        :raises ContractError: ``OAUTH2_CLIENT_ID``, ``OAUTH2_CLIENT_SECRET`` or ``OAUTH2_MISSING_CLIENT``;
            ``TOO_MANY_REQUESTS`` after too many wrong ones.
        """
        application = self._directory.application_by_key("oauth2", client_id)
        place = f"{network_of(address)} {application.id if application else ''}"
        self._clients.require(place)
        if application is None:
            self._clients.wrong(place, f"client_failed address={address} application=unknown")
            raise ContractError(errors.OAUTH2_CLIENT_ID, "There is no client with this client_id.")
        if application.secret and not secret:
            raise ContractError(errors.OAUTH2_MISSING_CLIENT, "This client must send its client_secret.")
        if application.secret and not hmac.compare_digest(tokens.fingerprint(secret or ""), application.secret):
            self._clients.wrong(place, f"client_failed address={address} application={application.id}")
            raise ContractError(errors.OAUTH2_CLIENT_SECRET, "The client_secret is wrong.")
        if application.secret:
            self._clients.right(place)
        return application

    def grant(self, user: User | None, application: Application) -> Grant:
        """Tokens for ``user`` through ``application``, or for the application itself."""
        refresh = self._issue(TokenKind.REFRESH, user, application, self._settings.refresh_token_s) if user else None
        return self._grant(user, application, refresh)

    def _grant(self, user: User | None, application: Application, refresh: str | None) -> Grant:
        return Grant(
            access_token=self._issue(TokenKind.ACCESS, user, application, self._settings.access_token_s),
            refresh_token=refresh,
            expires_in_s=self._settings.access_token_s,
            user_id=user.id if user else None,
            application_id=application.id,
        )

    async def refresh(self, refresh_token: str, application: Application) -> Grant:
        """New tokens for an earlier login through the same application.

        One without a secret gets each refresh token's one successor: a token of its that was stolen is found out when
        both parties use it. An application with a secret shows that with each token, and may use one again.

        :raises ContractError: ``REFRESH_TOKEN_UNKNOWN``, ``REFRESH_TOKEN_EXPIRED``, or ``UNAVAILABLE`` if the use of
            the token cannot be kept.
        """
        claims = tokens.read(self._key, TokenKind.REFRESH, refresh_token)
        user = self._directory.current_user(claims) if claims else None
        if claims is None or user is None or claims.application_id != application.id:
            raise _refresh_unknown()
        if claims.is_expired(self._clock()):
            raise ContractError(errors.REFRESH_TOKEN_EXPIRED, "The refresh token has expired, so log in again.")
        if application.secret:
            return self.grant(user, application)
        return await self._rotated(claims, user, application)

    async def _rotated(self, claims: Claims, user: User, application: Application) -> Grant:
        key, now_ms = self._key, self._clock()
        expiry_ms = now_ms + self._settings.refresh_token_s * 1000
        successor = await self._rotation.successor(claims, now_ms, expiry_ms)
        if key != self._key:  # or a login would outlive the key that was rotated meanwhile
            raise _refresh_unknown()
        return self._grant(user, application, tokens.issue(key, TokenKind.REFRESH, successor))

    def oauth1(self, user: User, application: Application) -> OAuth1Token:
        """An OAuth 1 token for ``user`` through ``application``. It has no end of its own."""
        return oauth1_token(self._key, self._new_id(), user, application)

    def _issue(self, kind: TokenKind, user: User | None, application: Application, lifetime_s: int) -> str:
        claims = Claims(
            id=self._new_id(),
            user_id=user.id if user else "",
            application_id=application.id,
            generation=user.generation if user else 0,
            expiry_ms=self._clock() + lifetime_s * 1000,
        )
        return tokens.issue(self._key, kind, claims)


def _refresh_unknown() -> ContractError:
    return ContractError(errors.REFRESH_TOKEN_UNKNOWN, "The refresh token is not good, so log in again.")


def oauth1_token(key: bytes, token_id: str, user: User, application: Application) -> OAuth1Token:
    """An OAuth 1 token and the secret that belongs to it, both made of ``key``."""
    claims = Claims(token_id, user.id, application.id, user.generation, expiry_ms=0)
    token = tokens.issue(key, TokenKind.OAUTH1, claims)
    return OAuth1Token(token_id, token, tokens.oauth1_secret(key, token), user.id, application.id)
