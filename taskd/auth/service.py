"""The facade of authentication: reads the accounts and the key, reads them anew on request, and holds the verifiers."""

import logging

from taskd.auth.account_directory import Directory
from taskd.auth.account_source import AccountSource
from taskd.auth.accounts import Accounts
from taskd.auth.bearer_tokens import BearerTokens
from taskd.auth.credential_throttle import CredentialThrottle
from taskd.auth.jwks import IssuerKeys
from taskd.auth.login_throttle import network_of
from taskd.auth.logins import Logins
from taskd.auth.oauth1_signature import SignedRequest
from taskd.auth.oauth1_verifier import OAuth1Verifier, Signer
from taskd.auth.oidc import OidcVerifier
from taskd.auth.settings import AuthSettings
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError, TaskdError

_WRONG_SIGNATURES = (errors.OAUTH1_KEY, errors.OAUTH1_TOKEN, errors.OAUTH1_SIGNATURE)

log = logging.getLogger(__name__)


class AuthService:
    """The accounts in force, and the ways to authenticate."""

    def __init__(self, settings: AuthSettings, source: AccountSource, clock: Clock) -> None:
        self._source = source
        self._oidc = _oidc_verifier(settings, clock)
        self.bearers = BearerTokens(self._oidc, clock)
        self.signatures = OAuth1Verifier(source.replay_marks(), clock)
        self.logins = Logins(settings, source.refresh_rotation(), clock)
        self._signers = CredentialThrottle(clock)
        self.directory = Directory(Accounts())

    @property
    def is_closed_to_all(self) -> bool:
        """Whether there is nobody who could be authenticated."""
        return self.directory.is_empty and self._oidc is None

    @property
    def knows_an_issuer(self) -> bool:
        """Whether an issuer vouches for callers, who then need no account here."""
        return self._oidc is not None

    def start(self) -> None:
        """Reads the accounts and the key, and from now on anew whenever they change.

        :raises TaskdError: they cannot be used.
        """
        self.signatures.start()
        self._read()
        self._source.on_change(self.reload)

    def _read(self) -> None:
        directory, key = Directory(self._source.accounts()), self._source.signing_key()
        self.directory = directory
        for user in (self.bearers, self.signatures, self.logins):
            user.use(directory, key)

    def reload(self) -> str | None:
        """Reads them anew. If they cannot be used, those read before stay in force; returns why, and logs it."""
        try:
            self._read()
        except TaskdError as error:
            log.error("The accounts stay as they were: %s", error)
            return f"The accounts stay as they were: {error}"
        log.info("The accounts are read anew.")
        return None

    async def signer(self, request: SignedRequest, header: str, address: str) -> Signer:
        """Who has signed ``request``, which comes from ``address``; see :meth:`OAuth1Verifier.signer`.

        :raises ContractError: also ``TOO_MANY_REQUESTS`` after too many wrong signatures.
        """
        place = network_of(address)
        self._signers.require(place)
        try:
            signer = await self.signatures.signer(request, header)
        except ContractError as error:
            if error.kind in _WRONG_SIGNATURES:
                application = self.signatures.application_of(header)
                name = application.id if application else "unknown"
                self._signers.wrong(place, f"signature_failed address={address} application={name}: {error.kind.name}")
            raise
        self._signers.right(place)
        return signer

    async def stop(self) -> None:
        """Ends connections and threads."""
        self.logins.close()
        self.signatures.close()
        if self._oidc is not None:
            await self._oidc.close()


def _oidc_verifier(settings: AuthSettings, clock: Clock) -> OidcVerifier | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    issuer_keys = IssuerKeys(settings.oidc_issuer, settings.oidc_jwks_url, clock)
    return OidcVerifier(
        settings.oidc_issuer, settings.oidc_audience, settings.oidc_permissions_claim, issuer_keys, clock
    )
