"""What every task of the other queues does: invoke a Lambda function, with the usual library."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import boto3
from aiobotocore.session import get_session
from botocore.config import Config

CONCURRENCY = 64
_PAYLOAD = b'{"id":"614b1f2d8f3c2a0012345678","status":"inProgress","data":{"pad":"' + b"x" * 200 + b'"}}'
_CONFIG = {"max_pool_connections": CONCURRENCY, "retries": {"total_max_attempts": 1}}


def blocking_client() -> Any:
    """boto3's client of the stub; one for all the threads of a process."""
    return boto3.client("lambda", endpoint_url=os.environ["BENCHMARK_STUB"], config=Config(**_CONFIG))


def invoke(client: Any) -> None:
    """One call, its answer read to the end."""
    client.invoke(FunctionName="noop", Payload=_PAYLOAD)["Payload"].read()


@asynccontextmanager
async def async_client() -> AsyncIterator[Any]:
    """aiobotocore's client of the stub."""
    url = os.environ["BENCHMARK_STUB"]
    async with get_session().create_client("lambda", endpoint_url=url, config=Config(**_CONFIG)) as client:
        yield client


async def open_client(context: dict[str, Any]) -> None:
    """A start-up hook, as arq and SAQ have it: puts a client for the worker into ``context``."""
    context["stack"] = AsyncExitStack()
    context["client"] = await context["stack"].enter_async_context(async_client())


async def close_client(context: dict[str, Any]) -> None:
    """The shutdown hook: closes it."""
    await context["stack"].aclose()


async def invoke_async(client: Any) -> None:
    """One call, its answer read to the end."""
    answer = await client.invoke(FunctionName="noop", Payload=_PAYLOAD)
    await answer["Payload"].read()
