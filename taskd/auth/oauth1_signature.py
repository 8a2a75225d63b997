"""OAuth 1.0a signatures with HMAC-SHA1 (RFC 5849): what a request says about itself, and whether it is so.

Bodies are not part of what is signed here: clients send JSON, which the RFC leaves out. Form-encoded bodies, which it
would include, no client of the API sends.
"""

import hmac
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from oauthlib.oauth1.rfc5849 import signature

_METHOD = "HMAC-SHA1"
_REQUIRED = ("oauth_consumer_key", "oauth_signature_method", "oauth_signature", "oauth_timestamp", "oauth_nonce")
_VALUE_MAX_CHARS = 1024
_QUERY_FIELDS_MAX = 1000
_PARAMETER = re.compile(r'\s*([^\s=",]+)\s*=\s*(?:"([^"]*)"|([^\s",]*))\s*(?:,|\Z)')

Parameters = list[tuple[str, str]]


class SignatureError(ValueError):
    """What is wrong with the form of a signed request; never quotes its values."""


class SignedRequest(NamedTuple):
    """What a signature covers besides its own parameters; ``path`` and ``query`` as they came over the wire."""

    method: str
    host: str
    path: str
    query: str


class Secrets(NamedTuple):
    """What a request is signed with, under the names that oauthlib reads."""

    client_secret: str
    resource_owner_secret: str
    """The token's; empty where an application calls for itself."""


class Authorization(NamedTuple):
    """The parameters of an ``Authorization: OAuth`` header."""

    consumer_key: str
    token: str
    """Empty where an application calls for itself."""
    timestamp_s: int
    nonce: str
    signature: str
    signed: Parameters
    """All that were sent and are signed: not the signature itself, not the realm."""


def parse_authorization(header: str) -> Authorization:
    """The parameters in ``header``.

    :raises SignatureError: it is malformed, incomplete, or of a method or version that is not taken.
    """
    values = dict(_unique(_parameters(header)))
    missing = [name for name in _REQUIRED if not values.get(name)]
    if missing:
        raise SignatureError(f"The Authorization header lacks {', '.join(missing)}.")
    if values["oauth_signature_method"] != _METHOD:
        raise SignatureError(f"oauth_signature_method must be {_METHOD}.")
    if values.get("oauth_version", "1.0") != "1.0":
        raise SignatureError("oauth_version must be 1.0.")
    return Authorization(
        consumer_key=values["oauth_consumer_key"],
        token=values.get("oauth_token", ""),
        timestamp_s=_timestamp_s(values["oauth_timestamp"]),
        nonce=values["oauth_nonce"],
        signature=values["oauth_signature"],
        signed=[(name, value) for name, value in values.items() if name not in ("oauth_signature", "realm")],
    )


def is_genuine(request: SignedRequest, authorization: Authorization, secrets: Secrets) -> bool:
    """Whether the request was signed with these secrets.

    Behind a proxy that ends TLS the client has signed ``https``, which is not seen here, so both schemes are tried.
    """
    try:
        parameters = [*query_parameters(request.query), *authorization.signed]
        if _is_ambiguous(parameters):
            return False
        texts = [base_string(f"{scheme}://", request, parameters) for scheme in ("http", "https")]
    except ValueError:
        return False
    expected = (signature.sign_hmac_sha1_with_client(text, secrets) for text in texts)
    return any(_equal(one, authorization.signature) for one in expected)


def _is_ambiguous(parameters: Parameters) -> bool:
    """Whether the query repeats what OAuth says in the header: whoever reads the other one reads another request."""
    names = [name for name, _ in parameters if name.startswith("oauth_")]
    return len(set(names)) < len(names)


def base_string(scheme: str, request: SignedRequest, parameters: Parameters) -> str:
    """The text that is signed (RFC 5849, 3.4.1).

    :raises ValueError: the host or a parameter cannot be written so.
    """
    uri = signature.base_string_uri(scheme + request.host + request.path)
    return str(signature.signature_base_string(request.method, uri, signature.normalize_parameters(parameters)))


def query_parameters(query: str) -> Parameters:
    """The decoded parameters of a query string.

    :raises ValueError: it is not UTF-8, or has too many fields.
    """
    return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS_MAX)


def _parameters(header: str) -> Parameters:
    if not header.isascii():  # the RFC has everything else percent-encoded
        raise SignatureError("The Authorization header holds more than ASCII.")
    try:
        pairs = _pairs(header.partition(" ")[2])
        return [(unquote(name, errors="strict"), unquote(value, errors="strict")) for name, value in pairs]
    except ValueError:
        raise SignatureError("The Authorization header is no list of OAuth parameters.") from None


def _pairs(text: str) -> Parameters:
    """Names and values as they stand in ``text``, all of them: one that is there twice is two."""
    at, pairs = 0, []
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise ValueError(f"no parameter at {at}")
        name, quoted, bare = match.groups()
        pairs.append((name, bare if quoted is None else quoted))
        at = match.end()
    return pairs


def _unique(parameters: Parameters) -> Parameters:
    if any(len(value) > _VALUE_MAX_CHARS for _, value in parameters):
        raise SignatureError(f"An OAuth parameter is longer than {_VALUE_MAX_CHARS} characters.")
    if len(dict(parameters)) < len(parameters):
        raise SignatureError("An OAuth parameter is there twice.")
    return parameters


def _timestamp_s(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise SignatureError("oauth_timestamp must be whole seconds since 1970.")
    return int(text)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
