"""Deploying functions to AWS Lambda: what has to be done so that Lambda has what the store has.

Every deployed function carries a tag, and only functions that carry it are changed or deleted: what was deployed
with other tools is safe from a mistaken name. A function's code changes last, so that whatever Lambda refuses,
deploying the former version again brings all of it back: its code is still there.

The version of a code is its SHA-256 in base64, as Lambda itself computes it (``CodeSha256``).

Code that was prepared, and what is assumed to be at AWS, are a node's own: a function is prepared and deployed on the
same node, and preparing it makes the node compare with AWS again. Which of two nodes deploys a function is decided by
the store.
"""

import asyncio
import base64
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from msgspec.structs import replace

from taskd.model import limits
from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, UNAVAILABLE, ContractError
from taskd.model.function import Function
from taskd.runtime.aws.function_names import FunctionNames
from taskd.runtime.aws.lambda_api import Configuration, LambdaApi, RemoteFunction, lambda_configuration
from taskd.runtime.aws.sdk_clients import SdkClients
from taskd.runtime.aws.sdk_errors import translated_errors
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.code import check_code, invalid_code

OWN_TAG = {"managed-by": "taskd"}
"""What marks a function at AWS as one that may be changed and deleted here."""

_log = logging.getLogger(__name__)


class ControlPlane:
    """Deploys functions. Changes of one function are made one after the other by the caller."""

    def __init__(self, clients: SdkClients, names: FunctionNames, settings: AwsSettings) -> None:
        self._clients = clients
        self._names = names
        self._settings = settings
        self._tags = {**settings.tags, **OWN_TAG}
        self._prepared: dict[str, tuple[str, bytes]] = {}
        self._deployed: dict[str, Function] = {}

    def assume_deployed(self, functions: Iterable[Function]) -> None:
        """These are taken to be at AWS as they are here, until they are to be changed."""
        self._deployed.update((function.name, function) for function in functions)

    async def prepare(self, function: Function, code: bytes | None) -> Function:
        """Checks what can be checked here, and keeps ``code`` until it is deployed or discarded; AWS knows nothing.

        :raises ContractError: ``INVALID_CODE`` or ``INVALID_CONFIGURATION``.
        """
        self._check(function)
        if code is not None:
            if len(code) > limits.CODE_UPLOAD_MAX_BYTES:
                raise invalid_code(f"The zip is over the {limits.CODE_UPLOAD_MAX_BYTES // limits.MIB} MiB of AWS.")
            version = await asyncio.to_thread(_checked_version, code)
            self._prepared[function.name] = (version, code)
            function = replace(function, code_version=version)
        self._deployed.pop(function.name, None)
        return function

    def discard(self, function: Function) -> None:
        """Forgets the code that was prepared."""
        version, _ = self._prepared.get(function.name, ("", b""))
        if version == function.code_version:
            del self._prepared[function.name]

    async def deploy(self, function: Function) -> None:
        """Makes Lambda's function like ``function``; does only what there is to do, so it may be called again.

        A change that does not concern Lambda, of a function that was not prepared for another, asks nothing of AWS.

        :raises ContractError: with AWS's reason.
        """
        if not self._is_deployed(function):
            self._deployed.pop(function.name, None)
            async with self._api(f"Deploying {function.name}") as api:
                await self._apply(api, function)
        self._deployed[function.name] = function
        self.discard(function)

    async def remove(self, function_name: str) -> None:
        """Deletes the function at AWS, if it is there and was deployed from here.

        :raises ContractError: with AWS's reason.
        """
        self._deployed.pop(function_name, None)
        self._prepared.pop(function_name, None)
        name = self._names.prefixed(function_name)
        async with self._api(f"Removing {function_name}") as api:
            found = await api.find(name)
            if found is not None and _is_ours(found):
                await api.delete(name)
            elif found is not None:
                _log.warning("%s stays at AWS: it does not carry the tag %s.", name, OWN_TAG)

    def _check(self, function: Function) -> None:
        if self._settings.role is None:
            message = (
                "Functions can be deployed to AWS Lambda only when role in [aws] of the configuration names the role "
                f"that they run as. Set it, or deploy {function.name!r} with AWS's own tools and create tasks with its "
                "name or ARN as functionName."
            )
            raise ContractError(INVALID_CONFIGURATION, message)
        surplus = len(self._names.prefixed(function.name)) - limits.FUNCTION_NAME_MAX_CHARS
        if surplus > 0:
            message = f"With the prefix of this service the name is {surplus} characters too long for AWS Lambda."
            raise ContractError(INVALID_CONFIGURATION, message)

    def _is_deployed(self, function: Function) -> bool:
        before = self._deployed.get(function.name)
        if before is None or before.code_version != function.code_version:
            return False
        return self._configuration(before) == self._configuration(function)

    def _configuration(self, function: Function) -> Configuration:
        return lambda_configuration(function, self._settings.role)

    async def _apply(self, api: LambdaApi, function: Function) -> None:
        name = self._names.prefixed(function.name)
        found = await api.wait_until_stable(name)
        if found is None:
            await api.create(name, self._configuration(function), self._code(function), self._tags)
            await api.require_ready(name)
            return
        if not _is_ours(found):
            raise _not_ours(name)
        await self._update(api, name, found, function)

    async def _update(self, api: LambdaApi, name: str, found: RemoteFunction, function: Function) -> None:
        new_code = self._code(function) if found.code_sha256 != function.code_version else None
        if not self._tags.items() <= found.tags.items():
            await api.tag(found.arn, self._tags)
        if found.configuration != self._configuration(function):
            await api.configure(name, self._configuration(function))
            await api.require_ready(name)
        if new_code is not None:
            await api.replace_code(name, new_code)
            await api.require_ready(name)

    def _code(self, function: Function) -> bytes:
        version, code = self._prepared.get(function.name, ("", b""))
        if not code or version != function.code_version:
            message = f"AWS Lambda does not have this code of {function.name}, nor is it kept here: send code again."
            raise ContractError(INVALID_CODE, message)
        return code

    @asynccontextmanager
    async def _api(self, doing: str) -> AsyncIterator[LambdaApi]:
        """Lambda's control plane, for as long as it may take."""
        limit_s = self._settings.deploy_timeout_s
        try:
            with translated_errors(INVALID_CONFIGURATION):
                async with asyncio.timeout(limit_s), self._clients.open("lambda") as client:
                    yield LambdaApi(client)
        except TimeoutError as error:
            message = f"{doing} took AWS Lambda over {limit_s:g} s, and may still come to an end. Try again."
            raise ContractError(UNAVAILABLE, message) from error


def _checked_version(code: bytes) -> str:
    check_code(code)
    return base64.b64encode(hashlib.sha256(code).digest()).decode()


def _is_ours(found: RemoteFunction) -> bool:
    return found.tags.items() >= OWN_TAG.items()


def _not_ours(name: str) -> ContractError:
    return ContractError(
        INVALID_CONFIGURATION,
        f"AWS Lambda already has a function {name} that was not deployed from here, so it is left as it is. It can be "
        "invoked by that name. To deploy your own, take another name, set name_prefix in [aws], or delete it at AWS.",
    )
