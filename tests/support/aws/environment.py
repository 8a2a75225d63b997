"""An AWS environment and an Invoke client for tests, and calls that can be told apart."""

import itertools
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from support.clocks import FakeClock

from taskd.runtime.aws.client.connector import tls_context
from taskd.runtime.aws.client.endpoint import parse_endpoint
from taskd.runtime.aws.client.invoke_client import InvokeClient
from taskd.runtime.aws.client.sigv4 import Credentials
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import Invocation

CREDENTIALS = Credentials("AKIDEXAMPLE", "not a secret", "a-session-token")
_numbers = itertools.count()


def environment_with(key: str = "AKID1") -> dict[str, str]:
    """An AWS environment that has these credentials and nothing else."""
    return {
        "AWS_CONFIG_FILE": "/nonexistent/config",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "not a secret",
    }


def use_key(monkeypatch: pytest.MonkeyPatch, key: str = "AKID1") -> None:
    """Has the test run in that environment."""
    for name, value in environment_with(key).items():
        monkeypatch.setenv(name, value)


def a_call(function_name: str, payload: bytes | None = None, timeout_s: float = 30.0) -> Invocation:
    """A call with a payload that no other call has."""
    number = next(_numbers)
    return Invocation(f"{number:024x}", function_name, payload or b'{"number":%d}' % number, timeout_s)


@asynccontextmanager
async def invoking(
    url: str,
    settings: AwsSettings | None = None,
    tls: ssl.SSLContext | None = None,
    now_s: Callable[[], float] = time.monotonic,
    on_credentials_expired: Callable[[], None] = lambda: None,
) -> AsyncIterator[InvokeClient]:
    client = InvokeClient(
        parse_endpoint(url),
        "eu-west-1",
        CREDENTIALS,
        tls=tls or tls_context(None),
        settings=settings or AwsSettings(),
        clock=FakeClock(),
        now_s=now_s,
        on_credentials_expired=on_credentials_expired,
    )
    try:
        yield client
    finally:
        await client.close()
