"""What can be set about who may call."""

from typing import Annotated, Literal

from msgspec import Struct

from taskd.model import limits

Mode = Literal["required", "disabled"]
Registration = Literal["credentials", "off", "open"]


class AuthSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[auth]`` table of the configuration."""

    mode: Mode | None = None
    """``None`` asks callers who they are, unless the command line says ``--insecure``."""
    file: str | None = None
    """The accounts; ``None`` is ``auth.toml`` in the data directory."""
    registration: Registration = "credentials"
    """Who may register a user over HTTP: ``credentials`` takes an address that somebody who may make users has just
    looked up in vain, ``open`` takes everybody's, ``off`` takes none."""
    access_token_s: Annotated[int, limits.Range(1, 86_400)] = 3600
    refresh_token_s: Annotated[int, limits.Range(1, 366 * 86_400)] = 30 * 24 * 3600
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_jwks_url: str | None = None
    """``None`` asks the issuer's discovery document where its keys are."""
    oidc_permissions_claim: str = "permissions"
    """The claim that lists permissions and roles; dots lead into objects."""
