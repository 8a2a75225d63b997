"""Errors of the AWS SDK as errors of the contract, with AWS's reason: translated here and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, UNAVAILABLE, ContractError, ErrorKind

_CODE_ERRORS = frozenset(
    {
        "CodeStorageExceededException",
        "CodeVerificationFailedException",
        "InvalidCodeSignatureException",
        "InvalidZipFileException",
        "RequestEntityTooLargeException",
        "RequestTooLargeException",
    }
)
_TRANSIENT_ERRORS = frozenset(
    {
        "ExpiredTokenException",
        "RequestExpired",
        "ResourceConflictException",  # another change of the function is under way
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_PERMISSIONS = "Give taskd's credentials the permissions listed in its README under 'Running on AWS'."


@contextmanager
def translated_errors(default_kind: ErrorKind) -> Iterator[None]:
    """Raises ``ContractError`` for the SDK's errors; ``default_kind`` where their name leaves the cause open."""
    try:
        yield
    except ClientError as error:
        raise to_contract_error(error, default_kind) from error
    except ParamValidationError as error:
        raise ContractError(INVALID_CONFIGURATION, f"AWS Lambda cannot take the function: {error}") from error
    except BotoCoreError as error:
        raise ContractError(UNAVAILABLE, f"AWS Lambda cannot be asked now: {error}") from error


def to_contract_error(error: ClientError, default_kind: ErrorKind) -> ContractError:
    """What an error response of AWS means to the one who sent the function."""
    name, status, reason = error_name(error), _status(error), error_reason(error)
    if name in _TRANSIENT_ERRORS or status == 429 or status >= 500:
        return ContractError(UNAVAILABLE, f"AWS Lambda does not take the change now ({name}): {reason}")
    if status in (401, 403):
        return ContractError(INVALID_CONFIGURATION, f"AWS does not permit the change ({name}): {reason} {_PERMISSIONS}")
    kind = INVALID_CODE if name in _CODE_ERRORS else default_kind
    return ContractError(kind, f"AWS Lambda refuses the function ({name}): {reason}")


def error_name(error: ClientError) -> str:
    """The name AWS gives the error; its HTTP status where it gives none."""
    return str(error.response["Error"].get("Code") or _status(error))


def error_reason(error: ClientError) -> str:
    """What AWS says about the error."""
    return str(error.response["Error"].get("Message") or "no reason was given")


def is_not_found(error: ClientError) -> bool:
    """Whether there is no such function."""
    return _status(error) == 404


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
