"""Functions that others deployed at AWS: their settings are read there, and nothing is ever changed."""

import asyncio
import logging
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from taskd.model.errors import INVALID_CONFIGURATION, ContractError
from taskd.model.function import Function
from taskd.runtime.aws.sdk_clients import SdkClients
from taskd.runtime.aws.sdk_errors import error_name, error_reason
from taskd.runtime.aws.settings import AwsSettings

_NOT_FOUND = "ResourceNotFoundException"
"""Its name, not just the status: what only imitates AWS answers 404 to whatever it does not know."""

_log = logging.getLogger(__name__)


async def adopted(clients: SdkClients, settings: AwsSettings, function: Function) -> Function:
    """``function`` with the time limit, memory, runtime and entry point that AWS has for it.

    Where AWS does not tell, they stay as they are, the ``code_version`` is empty, and the log says why.

    :raises ContractError: ``INVALID_CONFIGURATION`` if there is no such function at AWS.
    """
    try:
        async with asyncio.timeout(settings.deploy_timeout_s), clients.open("lambda") as client:
            found = await client.get_function_configuration(FunctionName=function.name)
    except ClientError as error:
        if error_name(error) == _NOT_FOUND:
            raise _absent(function, error) from error
        return _unread(function, f"{error_name(error)}: {error_reason(error)}")
    except (BotoCoreError, TimeoutError) as error:
        return _unread(function, str(error) or f"no answer within {settings.deploy_timeout_s:g} s")
    return _with_settings(function, found)


def _with_settings(function: Function, found: dict[str, Any]) -> Function:
    return replace(
        function,
        time_limit_s=found.get("Timeout", function.time_limit_s),
        memory_limit_mb=found.get("MemorySize", function.memory_limit_mb),
        runtime=found.get("Runtime", ""),  # container images have neither
        entry_point=found.get("Handler", ""),
        description=function.description or found.get("Description", ""),
        code_version=found.get("CodeSha256") or "unknown",
    )


def _unread(function: Function, reason: str) -> Function:
    _log.warning(
        "The settings of %s could not be read at AWS (%s): a time limit of %d s and %d MB are assumed.",
        *(function.name, reason, function.time_limit_s, function.memory_limit_mb),
    )
    return replace(function, code_version="")


def _absent(function: Function, error: ClientError) -> ContractError:
    message = (
        f"AWS Lambda has no function {function.name} in this region and account ({error_reason(error)}). Look at the "
        "name, which has no prefix for a function of others, and at region and credentials."
    )
    return ContractError(INVALID_CONFIGURATION, message)
