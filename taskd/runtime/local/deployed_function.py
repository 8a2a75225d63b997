"""A function as it is deployed on this machine, and the environment that its sandboxes run in.

Knows nothing of processes; the address of the Runtime API comes from outside.
"""

import os
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from taskd.model.function import Function
from taskd.runtime.base import InvocationError

_REGION = "us-east-1"
_ACCOUNT = "000000000000"
_OWN_VARIABLES = ("PATH", "LD_LIBRARY_PATH")
"""What sandboxes get from taskd's own environment: without them interpreters may not start."""


class DeployedFunction(Struct, frozen=True, eq=False):
    """One version of a function with one configuration. Compared by identity."""

    function: Function
    code: Path
    error: InvocationError | None = None
    """The result of every call, when the function cannot run at all."""

    def is_interchangeable_with(self, other: "DeployedFunction") -> bool:
        """Whether a sandbox of ``other`` may go on as one of this."""
        return self.error == other.error and _visible_to_sandbox(self.function) == _visible_to_sandbox(other.function)


def _visible_to_sandbox(function: Function) -> Function:
    """``function`` without the fields that its sandboxes do not depend on."""
    return replace(
        Function(function.name, function.entry_point, function.runtime, 0, function.code_version),
        time_limit_s=function.time_limit_s,
        memory_limit_mb=function.memory_limit_mb,
        environment=function.environment,
    )


def function_arn(name: str) -> str:
    """A function's ARN in an account that does not exist."""
    return f"arn:aws:lambda:{_REGION}:{_ACCOUNT}:function:{name}"


def environment(deployment: DeployedFunction, api_address: str, runtime_directory: Path) -> dict[str, str]:
    """Lambda's usual variables and the function's own; those that the sandbox depends on cannot be overridden."""
    return {
        **{name: os.environ[name] for name in _OWN_VARIABLES if name in os.environ},
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        **deployment.function.environment,
        **_reserved(deployment, api_address, runtime_directory),
    }


def _reserved(deployment: DeployedFunction, api_address: str, runtime_directory: Path) -> dict[str, str]:
    function = deployment.function
    return {
        "_HANDLER": function.entry_point,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_limit_mb),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "taskd",
        "AWS_LAMBDA_RUNTIME_API": api_address,
        "LAMBDA_RUNTIME_DIR": str(runtime_directory),
        "LAMBDA_TASK_ROOT": str(deployment.code),
    }
