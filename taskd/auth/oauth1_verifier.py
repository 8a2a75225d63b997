"""Requests signed with OAuth 1, verified, and who has signed them."""

from msgspec import Struct

from taskd.auth import oauth1_signature, tokens
from taskd.auth.account_directory import Directory
from taskd.auth.accounts import Application, User
from taskd.auth.nonces import WINDOW_S, Nonces
from taskd.auth.oauth1_signature import Authorization, Secrets, SignedRequest
from taskd.auth.replay_marks import ReplayMarks
from taskd.auth.tokens import TokenKind
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError


class Signer(Struct, frozen=True):
    """Whose secrets a request was signed with; without ``user`` the application calls for itself."""

    application: Application
    user: User | None


class OAuth1Verifier:
    """Verifies signatures, and takes each request once."""

    def __init__(self, marks: ReplayMarks, clock: Clock) -> None:
        self._clock = clock
        self._marks = marks
        self._nonces = Nonces(clock)
        self._directory: Directory
        self._key: bytes

    def use(self, directory: Directory, key: bytes) -> None:
        """From now on these accounts and this key are in force."""
        self._directory, self._key = directory, key

    def start(self) -> None:
        """Reads which requests an earlier process may have taken."""
        self._marks.start(self._clock() // 1000, WINDOW_S)

    def close(self) -> None:
        """Ends what keeps which requests were taken."""
        self._marks.close()

    async def signer(self, request: SignedRequest, header: str) -> Signer:
        """Who has signed ``request``, whose ``Authorization`` is ``header``. It is not taken again, after a crash too.

        :raises ContractError: ``OAUTH1_KEY``, ``OAUTH1_TOKEN``, ``OAUTH1_SIGNATURE`` or ``REPLAYED``; ``UNAVAILABLE``
            if it cannot be kept that the request came.
        """
        authorization = _parse(header)
        found = self._verified(request, authorization)
        await self._marks.move(authorization.timestamp_s, _name(authorization), self._clock() // 1000)
        return found

    def _verified(self, request: SignedRequest, authorization: Authorization) -> Signer:
        self._nonces.check_timestamp(authorization.timestamp_s)
        application = self._directory.application_by_key("oauth1", authorization.consumer_key)
        if application is None:
            raise ContractError(errors.OAUTH1_KEY, "There is no application with this oauth_consumer_key.")
        user = self._user(authorization.token, application)
        token_secret = tokens.oauth1_secret(self._key, authorization.token) if user else ""
        if not oauth1_signature.is_genuine(request, authorization, Secrets(application.secret, token_secret)):
            message = "oauth_signature does not fit the request; are the secrets right, and does a proxy pass Host on?"
            raise ContractError(errors.OAUTH1_SIGNATURE, message)
        self._marks.check(authorization.timestamp_s, _name(authorization))
        self._nonces.remember(
            *(authorization.timestamp_s, authorization.consumer_key, authorization.token, authorization.nonce),
            signer=application.id if user is None else user.id,
        )
        return Signer(application, user)

    def application_of(self, header: str) -> Application | None:
        """Which application ``header`` names, whether it has signed or not; ``None`` if there is none."""
        try:
            return self._directory.application_by_key("oauth1", _parse(header).consumer_key)
        except ContractError:
            return None

    def _user(self, token: str, application: Application) -> User | None:
        """Whom ``token`` was given to when they logged in through ``application``."""
        if not token:
            return None
        claims = tokens.read(self._key, TokenKind.OAUTH1, token)
        user = self._directory.current_user(claims) if claims else None
        if claims is None or user is None or claims.application_id != application.id:
            raise ContractError(errors.OAUTH1_TOKEN, "The oauth_token is unknown or was revoked; log in again.")
        return user


def _name(authorization: Authorization) -> str:
    """Tells signers apart, each of which has a clock."""
    return f"{authorization.consumer_key} {authorization.token}"


def _parse(header: str) -> Authorization:
    try:
        return oauth1_signature.parse_authorization(header)
    except oauth1_signature.SignatureError as error:
        raise ContractError(errors.OAUTH1_SIGNATURE, str(error)) from None
