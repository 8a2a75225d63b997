"""The bodies of requests: one struct each, and the decoder that says what is wrong with one.

Here a field has a type and a length; rules that need more than the field itself are the resources' own.
``None`` stands for a field that is absent or null: to a client the two are the same.
"""

from typing import Annotated, Any, Generic, TypeVar

import msgspec
import orjson
from msgspec import Meta, Raw, Struct

from taskd.model import errors, limits
from taskd.model.errors import ContractError
from taskd.model.function import PermissionMode
from taskd.model.wire import EnvironmentValue

S = TypeVar("S", bound=Struct)

Number = int | float
"""JSON does not tell ``1`` from ``1.0``, so a whole number is checked for where it is used."""

Tag = Annotated[str, Meta(max_length=limits.TASK_TAG_MAX_CHARS)]
ErrorName = Annotated[str, Meta(max_length=limits.RETRY_ERROR_MAX_CHARS)]


def _empty_object() -> Raw:
    return Raw(b"{}")


class TaskBody(Struct, rename="camel", gc=False):
    """``POST /``: a task to create."""

    function_name: Annotated[str, Meta(description="a string")]
    data: Raw = msgspec.field(default_factory=_empty_object)
    start_timestamp: Annotated[
        str | Number | None, Meta(description="an RFC 3339 timestamp or a number of milliseconds")
    ] = None
    priority: Annotated[Number | None, Meta(description="a whole number")] = None
    tags: Annotated[
        Annotated[tuple[Tag, ...], Meta(max_length=limits.TASK_TAGS_MAX)] | None,
        Meta(
            description=f"an array of at most {limits.TASK_TAGS_MAX} strings "
            f"of at most {limits.TASK_TAG_MAX_CHARS} characters"
        ),
    ] = None


class ScheduleBody(TaskBody, rename="camel", kw_only=True, gc=False):
    """``POST /schedules``: a task to create again and again."""

    interval: Annotated[Number, Meta(description="a number of seconds")]


class ExecutionOptionsBody(Struct, rename="camel"):
    """Who may execute a function, and how urgent its tasks are."""

    permission_mode: PermissionMode | None = None
    default_priority: Number | None = None


class RetryPolicyBody(Struct, rename="camel"):
    """Which failures are tried again."""

    enabled: bool | None = None
    errors_to_retry: Annotated[tuple[ErrorName, ...], Meta(max_length=limits.RETRY_ERRORS_MAX)] | None = None


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
            f"with a permissionMode of {', '.join(PermissionMode)}"
        ),
    ] = None
    retry_policy: Annotated[
        RetryPolicyBody | None,
        Meta(
            description='an object like {"enabled": true, "errorsToRetry": ["Name"]} '
            f"with at most {limits.RETRY_ERRORS_MAX} names "
            f"of at most {limits.RETRY_ERROR_MAX_CHARS} characters"
        ),
    ] = None
    enabled: Annotated[bool | None, Meta(description="true or false")] = None


class ExecutionBody(Struct, gc=False):
    """``POST /functions/{name}/execute``: what to execute the function with."""

    data: Raw = msgspec.field(default_factory=_empty_object)


class FunctionBody(FunctionSettings, kw_only=True):
    """``POST /functions``: a function to create."""

    name: Annotated[str, Meta(description="a string")]
    code: Annotated[str, Meta(description="a string: the base64 of a zip")]
    entry_point: Annotated[str, Meta(description="a string")]
    runtime: Annotated[str, Meta(description="a string")]


class FunctionUpdateBody(FunctionSettings, kw_only=True):
    """``PUT /functions/{name}``: what is to change; all else stays as it is."""

    name: Annotated[str | None, Meta(description="a string")] = None
    code: Annotated[str | None, Meta(description="a string: the base64 of a zip")] = None
    entry_point: Annotated[str | None, Meta(description="a string")] = None
    runtime: Annotated[str | None, Meta(description="a string")] = None


class BodyDecoder(Generic[S]):
    """Decodes bodies of one shape. Unknown fields are ignored; of a repeated field the last one counts."""

    def __init__(self, shape: type[S]) -> None:
        self._shape = shape
        self._decoder = msgspec.json.Decoder(shape)

    def __call__(self, body: bytes) -> S:
        """``body`` as a struct.

        :raises ContractError: ``BODY_FORMAT``, ``MISSING_FIELDS`` or ``FIELD_FORMAT``, naming what is wrong.
        """
        try:
            return self._decoder.decode(body)
        except RecursionError:
            depth_max = limits.TASK_DATA_MAX_DEPTH
            message = f"No field, data included, may nest more than {depth_max} arrays and objects."
            raise ContractError(errors.FIELD_FORMAT, message) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._explain(body, error) from None

    def _explain(self, body: bytes, complaint: Exception) -> ContractError:
        """Looks again, slowly, at a body that did not decode, for what to tell the client."""
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return ContractError(errors.BODY_FORMAT, f"The body is not JSON: {error}.")
        if not isinstance(values, dict):
            return ContractError(errors.BODY_FORMAT, "The body is JSON, but not an object.")
        return (
            self._missing_fields(values)
            or self._wrong_field(values)
            or ContractError(errors.BODY_FORMAT, f"The body cannot be read: {complaint}.")
        )

    def _missing_fields(self, values: dict[str, Any]) -> ContractError | None:
        required = [field.encode_name for field in msgspec.structs.fields(self._shape) if field.required]
        missing = [name for name in required if values.get(name) is None]
        if not missing:
            return None
        return ContractError(errors.MISSING_FIELDS, f"Required fields are missing: {', '.join(missing)}.")

    def _wrong_field(self, values: dict[str, Any]) -> ContractError | None:
        for field in msgspec.structs.fields(self._shape):
            value = values.get(field.encode_name)
            if value is None or field.type is Raw:
                continue
            try:
                msgspec.convert(value, field.type)
            except msgspec.ValidationError as error:
                rule = field.type.__metadata__[0].description
                message = f"{field.encode_name} must be {rule}. {error}."
                return ContractError(errors.FIELD_FORMAT, message)
        return None


decode_task = BodyDecoder(TaskBody)
decode_execution = BodyDecoder(ExecutionBody)
decode_schedule = BodyDecoder(ScheduleBody)
decode_function = BodyDecoder(FunctionBody)
decode_function_update = BodyDecoder(FunctionUpdateBody)


def field_error(name: str, rule: str) -> ContractError:
    """The error for a field that breaks ``rule``, which completes the sentence "name must ..."."""
    return ContractError(errors.FIELD_FORMAT, f"{name} must {rule}.")


def whole_number(name: str, value: float | None, least: int, most: int, default: int) -> int:
    """``value`` as an int, ``default`` if it is absent; JSON does not tell ``1`` from ``1.0``."""
    if value is None:
        return default
    if not least <= value <= most or value != int(value):
        raise field_error(name, f"be a whole number from {least} to {most}")
    return int(value)


def priority_of(name: str, value: float | None, default: int) -> int:
    """``value`` as a priority."""
    return whole_number(name, value, -limits.PRIORITY_MAX, limits.PRIORITY_MAX, default)
