"""The operations of Lambda's control plane that deploying needs. Knows what AWS says, not what to do about it."""

import asyncio
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, ContractError
from taskd.model.function import Function
from taskd.runtime.aws.sdk_errors import is_not_found, translated_errors

_POLL_FIRST_S = 0.25
_POLL_MAX_S = 2.0

Configuration = dict[str, Any]
"""The part of a function's configuration that is set through this service, in Lambda's own terms."""


class RemoteFunction(Struct, frozen=True):
    """A function as AWS has it."""

    arn: str
    code_sha256: str
    """Base64, as AWS gives it."""
    configuration: Configuration
    tags: dict[str, str]
    is_changing: bool
    """Whether it is being made or changed, so that no other change would be taken."""
    failure: str | None
    """Why it could not be made or changed, if so."""


def lambda_configuration(function: Function, role: str | None) -> Configuration:
    """``function`` in Lambda's terms."""
    return {
        "Role": role,
        "Handler": function.entry_point,
        "Runtime": function.runtime,
        "Description": function.description,
        "Timeout": function.time_limit_s,
        "MemorySize": function.memory_limit_mb,
        "Environment": {"Variables": dict(function.environment)},
    }


class LambdaApi:
    """Wraps an open SDK client. Every operation raises ``ContractError``, and may be called again."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def find(self, name: str) -> RemoteFunction | None:
        """The function of this name, if there is one."""
        with translated_errors(INVALID_CONFIGURATION):
            try:
                answer = await self._client.get_function(FunctionName=name)
            except ClientError as error:
                if is_not_found(error):
                    return None
                raise
        return _remote_function(answer)

    async def create(self, name: str, configuration: Configuration, code: bytes, tags: dict[str, str]) -> None:
        """The function is being made."""
        with translated_errors(INVALID_CONFIGURATION):
            await self._client.create_function(FunctionName=name, Code={"ZipFile": code}, Tags=tags, **configuration)

    async def configure(self, name: str, configuration: Configuration) -> None:
        """The function is being reconfigured."""
        with translated_errors(INVALID_CONFIGURATION):
            await self._client.update_function_configuration(FunctionName=name, **configuration)

    async def replace_code(self, name: str, code: bytes) -> None:
        """The function's code is being replaced."""
        with translated_errors(INVALID_CODE):
            await self._client.update_function_code(FunctionName=name, ZipFile=code)

    async def tag(self, arn: str, tags: dict[str, str]) -> None:
        """The function carries these tags besides those that it has."""
        with translated_errors(INVALID_CONFIGURATION):
            await self._client.tag_resource(Resource=arn, Tags=tags)

    async def delete(self, name: str) -> None:
        """There is no such function, whether there was one or not."""
        with translated_errors(INVALID_CONFIGURATION):
            try:
                await self._client.delete_function(FunctionName=name)
            except ClientError as error:
                if not is_not_found(error):
                    raise

    async def wait_until_stable(self, name: str) -> RemoteFunction | None:
        """The function when nothing is being done to it any more. The caller sets the time limit."""
        delay_s = _POLL_FIRST_S
        while (found := await self.find(name)) is not None and found.is_changing:
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _POLL_MAX_S)
        return found

    async def require_ready(self, name: str) -> None:
        """Returns when what was begun is done; ``INVALID_CONFIGURATION``, with AWS's reason, if it failed."""
        found = await self.wait_until_stable(name)
        if found is None:
            raise ContractError(INVALID_CONFIGURATION, f"{name} was deleted at AWS while it was being deployed.")
        if found.failure is not None:
            raise ContractError(INVALID_CONFIGURATION, f"AWS Lambda could not deploy {name}: {found.failure}")


def _remote_function(answer: dict[str, Any]) -> RemoteFunction:
    found = answer["Configuration"]
    environment = found.get("Environment", {}).get("Variables", {})
    fields = {key: found.get(key, "") for key in ("Role", "Handler", "Runtime", "Description", "Timeout", "MemorySize")}
    return RemoteFunction(
        arn=found["FunctionArn"],
        code_sha256=found.get("CodeSha256", ""),
        configuration={**fields, "Environment": {"Variables": environment}},
        tags=answer.get("Tags", {}),
        is_changing=found.get("State") == "Pending" or found.get("LastUpdateStatus") == "InProgress",
        failure=_failure(found),
    )


def _failure(found: dict[str, Any]) -> str | None:
    for status in ("State", "LastUpdateStatus"):
        if found.get(status) == "Failed":
            return f"{found.get(f'{status}ReasonCode', 'Failed')}: {found.get(f'{status}Reason', 'no reason given')}"
    return None
