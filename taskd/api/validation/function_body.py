"""Bodies that create or change a function, and the function and the code that each asks for."""

import binascii
import re
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import fields, replace

from taskd.api.validation.body_decoder import (
    BodyDecoder,
    Number,
    field_error,
    missing_fields,
    priority_of,
    whole_number,
)
from taskd.api.validation.retention_body import RetentionBody, retention_of
from taskd.api.validation.start_rules_body import ConcurrencyBody, ThrottleBody, start_rules
from taskd.model import errors, limits
from taskd.model.errors import ContractError
from taskd.model.function import (
    ENVIRONMENT_NAME_PATTERN,
    NAME_PATTERN,
    RESERVED_ENVIRONMENT_NAMES,
    RETIRED_RUNTIMES,
    RUNTIMES,
    Function,
    PermissionMode,
    RetryPolicy,
)
from taskd.model.wire import EnvironmentValue

Delay = Annotated[float, Meta(ge=0, le=limits.RETRY_DELAY_MAX_S)]
ErrorName = Annotated[str, Meta(max_length=limits.RETRY_ERROR_MAX_CHARS)]

_ENTRY_POINT = re.compile(rf"[^\s\0]{{1,{limits.ENTRY_POINT_MAX_CHARS}}}")


class ExecutionOptionsBody(Struct, rename="camel"):
    """Who may execute a function, how urgent its tasks are, how much of it may start, and how long its traces stay."""

    permission_mode: PermissionMode | None = None
    default_priority: Number | None = None
    retention: RetentionBody | None = None
    concurrency: ConcurrencyBody | None = None
    throttle: ThrottleBody | None = None


class RetryPolicyBody(Struct, rename="camel"):
    """Which failures are tried again, and when: ``delays`` in seconds, each longer by up to ``jitter`` of itself."""

    enabled: bool | None = None
    errors_to_retry: Annotated[tuple[ErrorName, ...], Meta(max_length=limits.RETRY_ERRORS_MAX)] | None = None
    delays: Annotated[tuple[Delay, ...], Meta(min_length=1, max_length=limits.RETRY_DELAYS_MAX)] | None = None
    jitter: Annotated[float, Meta(ge=0, le=1)] | None = None


class FunctionSettings(Struct, rename="camel", kw_only=True):
    """What may be said about a function, and need not."""

    description: Annotated[str | None, Meta(description="a string")] = None
    time_limit: Annotated[Number | None, Meta(description="a whole number of seconds")] = None
    memory_limit: Annotated[Number | None, Meta(description="a whole number of megabytes")] = None
    environment_variables: Annotated[
        dict[str, EnvironmentValue] | None, Meta(description='an object like {"NAME": {"value": "text"}}')
    ] = None
    execution_options: Annotated[
        ExecutionOptionsBody | None,
        Meta(
            description='an object like {"permissionMode": "permissionRequired", "defaultPriority": 0} '
            f"with a permissionMode of {', '.join(PermissionMode)}; retention, if any, is an object like "
            '{"complete": 86400, "logs": 3600} of seconds, '
            'concurrency, if any, is like {"total": 10, "perKey": 1, "key": "data.patientId"}, '
            'and throttle like {"limit": 5, "periodSeconds": 1, "burst": 1}'
        ),
    ] = None
    retry_policy: Annotated[
        RetryPolicyBody | None,
        Meta(
            description='an object like {"enabled": true, "errorsToRetry": ["Name"]} '
            f"with at most {limits.RETRY_ERRORS_MAX} names "
            f"of at most {limits.RETRY_ERROR_MAX_CHARS} characters; "
            f"delays, if any, are 1 to {limits.RETRY_DELAYS_MAX} numbers of seconds up to {limits.RETRY_DELAY_MAX_S}, "
            "and jitter is a number from 0 to 1"
        ),
    ] = None
    enabled: Annotated[bool | None, Meta(description="true or false")] = None


class FunctionBody(FunctionSettings, kw_only=True):
    """``POST /functions``: a function to create."""

    name: Annotated[str, Meta(description="a string")]
    code: Annotated[str | None, Meta(description="a string: the base64 of a zip")] = None
    entry_point: Annotated[str | None, Meta(description="a string")] = None
    runtime: Annotated[str | None, Meta(description="a string")] = None
    external: Annotated[bool | None, Meta(description="true or false")] = None
    """Whether others deployed it at AWS. Otherwise ``code``, ``entryPoint`` and ``runtime`` are required."""


class FunctionUpdateBody(FunctionSettings, kw_only=True):
    """``PUT /functions/{name}``: what is to change; all else stays as it is."""

    name: Annotated[str | None, Meta(description="a string")] = None
    code: Annotated[str | None, Meta(description="a string: the base64 of a zip")] = None
    entry_point: Annotated[str | None, Meta(description="a string")] = None
    runtime: Annotated[str | None, Meta(description="a string")] = None


class FunctionDecoder(BodyDecoder[FunctionBody]):
    """A function needs code, unless others deployed it."""

    def __call__(self, body: bytes) -> FunctionBody:
        """``body`` as a struct; raises as its base does."""
        decoded = super().__call__(body)
        given = {field.encode_name: getattr(decoded, field.name) for field in fields(decoded)}
        if missing := self.missing(given):
            raise missing_fields(missing)
        return decoded

    def missing(self, values: dict[str, Any]) -> list[str]:
        """The names of fields that are required and not given."""
        needed = () if values.get("external") is True else _DEPLOYED_BY_US
        return super().missing(values) + [name for name in needed if values.get(name) is None]


_DEPLOYED_BY_US = ("code", "entryPoint", "runtime")
_OTHERS_SAY = (*_DEPLOYED_BY_US, "environmentVariables")
"""What is said of an external function where it was deployed, and nowhere else."""

decode_function = FunctionDecoder(FunctionBody)
decode_function_update = BodyDecoder(FunctionUpdateBody)


def changed_fields(body: FunctionUpdateBody) -> list[str]:
    """The names of the fields that ``body`` has, on the wire."""
    return [field.encode_name for field in fields(body) if getattr(body, field.name) != field.default]


def new_function(body: FunctionBody, now_ms: int) -> Function:
    """What ``body`` asks for. Its ``code_version`` is empty until a runtime has prepared the code.

    :raises ContractError: ``FIELD_FORMAT``, ``INVALID_FUNCTION_NAME`` or ``INVALID_CONFIGURATION``, naming the field
        and its rule.
    """
    if body.external:
        _leave_to_others(body)
    blank = Function(
        name=_name(body.name),
        entry_point="" if body.entry_point is None else _entry_point(body.entry_point),
        runtime="" if body.runtime is None else _runtime(body.runtime),
        update_ms=now_ms,
        code_version="",
        external=body.external or False,
    )
    return _with_settings(blank, body)


def updated_function(function: Function, body: FunctionUpdateBody, now_ms: int) -> Function:
    """``function`` with what ``body`` says changed. Environment variables are replaced as a whole.

    :raises ContractError: as :func:`new_function` does, also for another name.
    """
    if function.external:
        _leave_to_others(body)
    if body.name not in (None, function.name):
        raise field_error("name", f"stay {function.name}: create a function of the new name instead")
    changed = replace(
        function,
        entry_point=function.entry_point if body.entry_point is None else _entry_point(body.entry_point),
        runtime=function.runtime if body.runtime is None else _runtime(body.runtime),
        update_ms=now_ms,
    )
    return _with_settings(changed, body)


def _leave_to_others(body: FunctionBody | FunctionUpdateBody) -> None:
    given = [field.encode_name for field in fields(body) if getattr(body, field.name) is not None]
    for name in _OTHERS_SAY:
        if name in given:
            raise field_error(name, "be left out: others deployed this function, and nothing is changed where it is")


def _with_settings(function: Function, body: FunctionSettings) -> Function:
    options = body.execution_options or ExecutionOptionsBody()
    variables = body.environment_variables
    return replace(
        function,
        description=function.description if body.description is None else _description(body.description),
        enabled=function.enabled if body.enabled is None else body.enabled,
        time_limit_s=_time_limit_s(body.time_limit, function.time_limit_s),
        memory_limit_mb=_memory_limit_mb(body.memory_limit, function.memory_limit_mb),
        environment=function.environment if variables is None else _environment(variables),
        permission_mode=options.permission_mode or function.permission_mode,
        default_priority=priority_of(
            "executionOptions.defaultPriority", options.default_priority, function.default_priority
        ),
        retention=function.retention if options.retention is None else retention_of(options.retention),
        start_rules=start_rules(options.concurrency, options.throttle, function.start_rules),
        retry_policy=_retry_policy(body.retry_policy or RetryPolicyBody(), function.retry_policy),
    )


def decode_code(text: str) -> bytes:
    """The zip that ``text`` holds as base64; whether it really is a zip is the runtime's to say.

    :raises ContractError: ``INVALID_CODE``.
    """
    try:
        code = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # also what is not ASCII
        raise ContractError(errors.INVALID_CODE, f"code must be the base64 of a zip: {error}.") from None
    if not code:
        raise ContractError(errors.INVALID_CODE, "code is empty; send the base64 of a zip.")
    return code


def _name(name: str) -> str:
    if NAME_PATTERN.fullmatch(name) is None:
        message = "name must be 1 to 64 letters, digits, '-' and '_'."
        raise ContractError(errors.INVALID_FUNCTION_NAME, message)
    return name


def _entry_point(entry_point: str) -> str:
    if _ENTRY_POINT.fullmatch(entry_point) is None:
        raise field_error(
            "entryPoint",
            f"be 1 to {limits.ENTRY_POINT_MAX_CHARS} characters without white space, like index.handler",
        )
    return entry_point


def _runtime(runtime: str) -> str:
    if runtime in RETIRED_RUNTIMES:
        message = f"runtime {runtime} is not run any more; use {RETIRED_RUNTIMES[runtime]} instead."
        raise ContractError(errors.FIELD_FORMAT, message)
    if runtime not in RUNTIMES:
        raise field_error("runtime", f"be one of {', '.join(RUNTIMES)}")
    return runtime


def _description(description: str) -> str:
    if len(description) > limits.DESCRIPTION_MAX_CHARS:
        raise field_error("description", f"have at most {limits.DESCRIPTION_MAX_CHARS} characters")
    return description


def _time_limit_s(value: float | None, default: int) -> int:
    return whole_number("timeLimit", value, limits.TIME_LIMIT_MIN_S, limits.TIME_LIMIT_MAX_S, default)


def _memory_limit_mb(value: float | None, default: int) -> int:
    return whole_number("memoryLimit", value, limits.MEMORY_MIN_MB, limits.MEMORY_MAX_MB, default)


def _retry_policy(body: RetryPolicyBody, former: RetryPolicy) -> RetryPolicy:
    return RetryPolicy(
        enabled=former.enabled if body.enabled is None else body.enabled,
        errors_to_retry=former.errors_to_retry if body.errors_to_retry is None else body.errors_to_retry,
        delays_ms=former.delays_ms if body.delays is None else tuple(round(delay * 1000) for delay in body.delays),
        jitter=former.jitter if body.jitter is None else body.jitter,
    )


def _environment(variables: dict[str, EnvironmentValue]) -> dict[str, str]:
    if len(variables) > limits.ENVIRONMENT_MAX_BYTES:
        message = f"environmentVariables are {len(variables)}: more than fit into {limits.ENVIRONMENT_MAX_BYTES} bytes."
        raise ContractError(errors.INVALID_CONFIGURATION, message)
    environment = {name: variable.value for name, variable in variables.items()}
    for name, value in environment.items():
        _check_variable(name, value)
    size_bytes = sum(len(name.encode()) + len(value.encode()) for name, value in environment.items())
    if size_bytes > limits.ENVIRONMENT_MAX_BYTES:
        message = (
            f"environmentVariables have {size_bytes} bytes of names and values, "
            f"the limit is {limits.ENVIRONMENT_MAX_BYTES}."
        )
        raise ContractError(errors.INVALID_CONFIGURATION, message)
    return environment


def _check_variable(name: str, value: str) -> None:
    if ENVIRONMENT_NAME_PATTERN.fullmatch(name) is None:
        rule = "have names of two or more letters, digits and '_' that start with a letter"
        raise field_error("environmentVariables", f"{rule}, not {name!r}")
    if name in RESERVED_ENVIRONMENT_NAMES:
        message = f"environmentVariables may not set {name}: it is reserved for the Lambda runtime itself."
        raise ContractError(errors.INVALID_CONFIGURATION, message)
    if "\0" in value:
        raise field_error("environmentVariables", f"have values without NUL characters, not so {name}")
