"""The facade of authentication: reads the accounts and the key, reads them anew on request, and holds the verifiers."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from taskd.auth.account_directory import Directory
from taskd.auth.account_events import AccountEvent, account_events
from taskd.auth.account_source import AccountSource
from taskd.auth.accounts import AccountError, Accounts
from taskd.auth.bearer_tokens import BearerTokens
from taskd.auth.credential_throttle import CredentialThrottle
from taskd.auth.jwks import IssuerKeys
from taskd.auth.login_throttle import network_of
from taskd.auth.logins import Logins
from taskd.auth.oauth1_signature import SignedRequest
from taskd.auth.oauth1_verifier import OAuth1Verifier, Signer
from taskd.auth.oidc import OidcVerifier
from taskd.auth.registration import Registrations
from taskd.auth.settings import AuthSettings
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.errors import ContractError, TaskdError

_WRONG_SIGNATURES = (errors.OAUTH1_KEY, errors.OAUTH1_TOKEN, errors.OAUTH1_SIGNATURE)

T = TypeVar("T")

log = logging.getLogger(__name__)


class AuthService:
    """The accounts in force, and the ways to authenticate."""

    def __init__(self, settings: AuthSettings, source: AccountSource, clock: Clock) -> None:
        self._source = source
        self._oidc = _oidc_verifier(settings, clock)
        self.bearers = BearerTokens(self._oidc, clock)
        self.signatures = OAuth1Verifier(source.replay_marks(), clock)
        self.logins = Logins(settings, source.refresh_rotation(), clock)
        self.registrations = Registrations(settings.registration, clock)
        self._signers = CredentialThrottle(clock)
        self._changing = asyncio.Lock()
        self._reloads = 0
        self._happened: Callable[[Iterable[AccountEvent]], object] = list
        self.accounts = Accounts()
        self.directory = Directory(self.accounts)

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
        self._use(self._source.accounts(), self._source.signing_key())
        self._source.on_change(self.reload)

    def on_events(self, callback: Callable[[Iterable[AccountEvent]], object]) -> None:
        """``callback`` is called, on the event loop, with what has happened to the accounts while this runs, whoever
        changed them. What a process does not live to tell is not told later."""
        self._happened = callback

    def _use(self, accounts: Accounts, key: bytes) -> None:
        self.accounts, self.directory, self._key = accounts, Directory(accounts), key
        for user in (self.bearers, self.signatures, self.logins):
            user.use(self.directory, key)

    def _renew(self, accounts: Accounts, key: bytes) -> None:
        """Other accounts are in force from now on."""
        before = self.accounts
        self._use(accounts, key)
        if events := list(account_events(before, accounts)):
            self._happened(events)

    async def change(self, edit: Callable[[Accounts], tuple[Accounts, T]]) -> T:
        """Puts what ``edit`` makes of the accounts as they are now in their place; durable, and in force, on return.
        ``edit`` runs in a thread. Gives what else it gives.

        :raises ContractError: what ``edit`` raises; ``ILLEGAL_STATE`` if the accounts would break a rule;
            ``UNAVAILABLE`` if they cannot be read or written.
        """
        return await asyncio.shield(self._changed(edit))  # what is written must also come into force

    async def _changed(self, edit: Callable[[Accounts], tuple[Accounts, T]]) -> T:
        async with self._changing:
            reloads = self._reloads
            try:
                accounts, given = await asyncio.to_thread(self._source.change, edit)
            except ContractError:
                raise
            except AccountError as error:
                raise ContractError(errors.ILLEGAL_STATE, f"The accounts would break a rule: {error}.") from None
            except TaskdError as error:
                log.error("The accounts cannot be changed: %s", error)
                message = "The accounts cannot be changed now; the service's log says why."
                raise ContractError(errors.UNAVAILABLE, message) from None
            if self._reloads == reloads:
                self._renew(accounts, self._key)
            else:  # what was read meanwhile may be newer, such as by what a command has revoked
                self.reload()
            return given

    def reload(self) -> str | None:
        """Reads them anew. If they cannot be used, those read before stay in force; returns why, and logs it."""
        self._reloads += 1
        try:
            self._renew(self._source.accounts(), self._source.signing_key())
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
