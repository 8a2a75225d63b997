"""What the AWS environment says: which region, which endpoint, whose certificates, and whose credentials.

All of it comes from aiobotocore, so that every setting and every provider of the AWS SDKs works here too.
"""

import logging
import os
import re

from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError
from botocore.utils import get_environ_proxies
from msgspec import Struct

from taskd.model.errors import TaskdError
from taskd.runtime.aws.client.endpoint import Endpoint, parse_endpoint
from taskd.runtime.aws.client.invoke_request import SERVICE
from taskd.runtime.aws.client.sigv4 import Credentials
from taskd.runtime.aws.settings import AwsSettings

_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SENDABLE = re.compile(r"[!-~]+")

_log = logging.getLogger(__name__)

_NO_REGION = "No AWS region is set. Set region in [aws] of the configuration, or AWS_DEFAULT_REGION."
_NO_CREDENTIALS = (
    "No AWS credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile of the "
    "AWS configuration files in [aws] as profile, or run on a machine that has a role."
)


class AwsEnvironment(Struct, frozen=True):
    """Where calls go."""

    region: str
    endpoint: Endpoint
    ca_bundle: str | None


async def find_environment(settings: AwsSettings) -> AwsEnvironment:
    """Where calls go. What ``settings`` leave open comes from the AWS environment.

    Raises :class:`TaskdError`, saying what to set, if it is to be found in neither.
    """
    try:
        session = AioSession(profile=settings.profile)
        session.get_scoped_config()  # raises if there is no such profile
        region = _region(settings, session)
        return AwsEnvironment(
            region=region,
            endpoint=parse_endpoint(settings.endpoint_url or await _endpoint_url(session, region)),
            ca_bundle=session.get_config_variable("ca_bundle"),
        )
    except BotoCoreError as error:
        raise TaskdError(f"The AWS configuration cannot be used: {error}") from error


def warn_of_proxy(endpoint: Endpoint) -> None:
    """Says so if the environment (``HTTPS_PROXY`` and its like) wants a proxy used where none is."""
    scheme = "https" if endpoint.tls else "http"
    if get_environ_proxies(f"{scheme}://{endpoint.authority}").get(scheme):
        _log.warning(
            "%s_PROXY is set, but invocations do not go through a proxy: they connect to %s directly. Deployments and "
            "logs do use it. If there is no direct way, use a VPC endpoint; else add %s to NO_PROXY.",
            scheme.upper(),
            endpoint,
            endpoint.host,
        )


def _region(settings: AwsSettings, session: AioSession) -> str:
    found = settings.region or session.get_config_variable("region") or os.environ.get("AWS_REGION")
    if not found:
        raise TaskdError(_NO_REGION)
    if not _REGION.fullmatch(found):
        raise TaskdError(f"{found!r} is not an AWS region. {_NO_REGION}")
    return str(found)


async def _endpoint_url(session: AioSession, region: str) -> str:
    async with session.create_client(SERVICE, region_name=region) as client:
        return str(client.meta.endpoint_url)


class CredentialChain:
    """AWS's chain of credential providers; temporary credentials are refreshed when they are asked for."""

    def __init__(self, profile: str | None) -> None:
        self._session = AioSession(profile=profile)

    async def current(self) -> Credentials:
        """The credentials to sign with now; :class:`TaskdError` if there are none."""
        try:
            provider = await self._session.get_credentials()
            frozen = await provider.get_frozen_credentials() if provider else None
        except Exception as error:  # a provider may run programs, read files and call services
            raise TaskdError(f"The AWS credentials cannot be used: {error}") from error
        if frozen is None:
            raise TaskdError(_NO_CREDENTIALS)
        return _checked(Credentials(frozen.access_key, frozen.secret_key, frozen.token or None))


def _checked(credentials: Credentials) -> Credentials:
    """Both parts go into headers, where a stray line end would be an injection."""
    for part in (credentials.access_key, credentials.token):
        if part is not None and not _SENDABLE.fullmatch(part):
            raise TaskdError("The AWS access key or session token holds a space or a line end. Correct it.")
    return credentials
