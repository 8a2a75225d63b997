"""Clients of the AWS SDK (aiobotocore), for everything but invoking: deployments and logs."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from taskd.runtime.aws.settings import AwsSettings

_ATTEMPTS_MAX = 3
_READ_TIMEOUT_S = 20.0

ServiceName = Literal["lambda", "logs"]


class SdkClients:
    """Opens clients. Each keeps the credential provider that there was when it was opened.

    Opening one and asking with it the first time holds up the event loop for 25 ms, mostly for the TLS context.
    """

    def __init__(self, settings: AwsSettings, region: str) -> None:
        self._profile = settings.profile
        self._region = region
        self._endpoint_urls = {"lambda": settings.endpoint_url, "logs": settings.logs_endpoint_url}
        self._config = AioConfig(
            connect_timeout=settings.connect_timeout_s,
            read_timeout=_READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS_MAX},
        )
        self.generation = 0
        """Which reading of the environment and files clients are opened with."""
        self._session = AioSession(profile=self._profile)

    def reload(self) -> None:
        """Clients opened from now on read the AWS environment and files anew."""
        self.generation += 1
        self._session = AioSession(profile=self._profile)

    def open(self, service: ServiceName) -> AbstractAsyncContextManager[Any]:
        """A client of ``service``; it raises ``botocore``'s own errors."""
        client: AbstractAsyncContextManager[Any] = self._session.create_client(
            service, region_name=self._region, endpoint_url=self._endpoint_urls[service], config=self._config
        )
        return client
