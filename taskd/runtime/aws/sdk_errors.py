"""Errors of AWS's own APIs as errors of the contract, with AWS's reason: translated here and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, UNAVAILABLE, ContractError, ErrorKind

_ABOUT_CODE = frozenset(
    {
        "CodeStorageExceededException",
        "CodeVerificationFailedException",
        "InvalidCodeSignatureException",
        "InvalidZipFileException",
        "RequestEntityTooLargeException",
        "RequestTooLargeException",
    }
)
_PASSING = frozenset(
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
def translated(otherwise: ErrorKind) -> Iterator[None]:
    """Raises ``ContractError`` for AWS's errors; ``otherwise`` where their name leaves it open what is at fault."""
    try:
        yield
    except ClientError as error:
        raise refusal(error, otherwise) from error
    except ParamValidationError as error:
        raise ContractError(INVALID_CONFIGURATION, f"AWS Lambda cannot take the function: {error}") from error
    except BotoCoreError as error:
        raise ContractError(UNAVAILABLE, f"AWS Lambda cannot be asked now: {error}") from error


def refusal(error: ClientError, otherwise: ErrorKind) -> ContractError:
    """What an answer of AWS's that is an error means to the one who sent the function."""
    name, status, reason = error_name(error), _status(error), error_reason(error)
    if name in _PASSING or status == 429 or status >= 500:
        return ContractError(UNAVAILABLE, f"AWS Lambda does not take the change now ({name}): {reason}")
    if status in (401, 403):
        return ContractError(INVALID_CONFIGURATION, f"AWS does not permit the change ({name}): {reason} {_PERMISSIONS}")
    kind = INVALID_CODE if name in _ABOUT_CODE else otherwise
    return ContractError(kind, f"AWS Lambda refuses the function ({name}): {reason}")


def error_name(error: ClientError) -> str:
    """The name AWS gives the error; its HTTP status where it gives none."""
    return str(error.response["Error"].get("Code") or _status(error))


def error_reason(error: ClientError) -> str:
    """What AWS says about the error."""
    return str(error.response["Error"].get("Message") or "no reason was given")


def is_missing(error: ClientError) -> bool:
    """Whether there is no such function."""
    return _status(error) == 404


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
