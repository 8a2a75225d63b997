"""From the headers of a request to its caller: the API's side of asking who is there."""

from aiohttp import web

from taskd.api.http.authorization import HINT
from taskd.api.http.client_address import ClientAddresses
from taskd.auth.oauth1_signature import SignedRequest
from taskd.auth.service import AuthService
from taskd.model import errors
from taskd.model.caller import Caller
from taskd.model.errors import ContractError

_SCHEMES = "Authorization: Bearer or OAuth"


class Authentication:
    """Authenticates every request that shows credentials; see :class:`taskd.api.http.authorization.Authenticate`."""

    def __init__(self, auth: AuthService, addresses: ClientAddresses) -> None:
        self._auth = auth
        self._addresses = addresses

    async def __call__(self, request: web.Request) -> Caller:
        """The caller that the ``Authorization`` header proves."""
        header = request.headers.get("Authorization")
        if header is None:
            raise ContractError(errors.NOT_AUTHENTICATED, f"This needs credentials; send {_SCHEMES}. {HINT}")
        scheme, _, credentials = header.partition(" ")
        if scheme.lower() == "bearer":
            return await self._auth.bearers.caller(credentials.strip())
        if scheme.lower() == "oauth":
            signer = await self._auth.signer(signed_request(request), header, self._addresses.of(request))
            return self._auth.directory.caller(signer.user, signer.application)
        raise ContractError(errors.ACCESS_TOKEN_UNKNOWN, f"Such credentials are not taken here; send {_SCHEMES}.")


def signed_request(request: web.Request) -> SignedRequest:
    """What an OAuth 1 signature of ``request`` covers, as it came over the wire."""
    path, _, query = request.raw_path.partition("?")
    # not request.host: without the header that asks the resolver, and holds up everybody meanwhile
    return SignedRequest(request.method, request.headers.get("Host", ""), path, query)
