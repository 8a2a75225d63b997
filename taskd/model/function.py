"""Functions: what a task runs, and the runtimes there are."""

import re
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct

from taskd.model import limits
from taskd.model.retention import NOTHING_SAID, Retention
from taskd.model.start_rules import StartRules

NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
REFERENCE_PATTERN = re.compile(
    r"(?:(?:arn:aws[a-z-]*:lambda:[a-z]{2}(?:-[a-z]+)+-\d{1,2}:)?\d{12}:function:)?"
    + NAME_PATTERN.pattern
    + r"(?::(?:\$LATEST|[A-Za-z0-9_-]{1,128}))?",
    re.ASCII,
)
"""What a task may name as its function: a name, or a whole or partial Lambda ARN; each may have a qualifier."""

ENVIRONMENT_NAME_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_]+")
RESERVED_ENVIRONMENT_NAMES = frozenset(
    {
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""Environment variables that Lambda sets itself and refuses to have configured."""

RUNTIMES: tuple[str, ...] = (
    *(f"nodejs{major}.x" for major in (16, 18, 20, 22, 24)),
    *(f"python3.{minor}" for minor in range(8, 15)),
    *("java8.al2", "java11", "java17", "java21", "java25"),
    *("dotnet6", "dotnet8", "dotnet10"),
    *("ruby3.2", "ruby3.3", "ruby3.4", "ruby4.0"),
    *("provided.al2", "provided.al2023"),
)
"""The runtimes a function may name. Which of them the local runtime runs is the local runtime's to say."""

RETIRED_RUNTIMES = MappingProxyType(
    {
        **{f"nodejs{major}.x": "nodejs22.x" for major in (8, 10, 12, 14)},
        **{f"python{version}": "python3.13" for version in ("2.7", "3.6", "3.7")},
        **dict.fromkeys(("dotnetcore2.1", "dotnetcore3.1", "dotnet5.0", "dotnet7"), "dotnet8"),
        "dotnet9": "dotnet10",
        **dict.fromkeys(("ruby2.5", "ruby2.7"), "ruby3.4"),
        "java8": "java8.al2",
        **dict.fromkeys(("go1.x", "provided"), "provided.al2023"),
    }
)
"""Names that tools still offer and nobody runs, with what to use instead."""


class PermissionMode(StrEnum):
    """Who may execute a function directly."""

    PERMISSION_REQUIRED = "permissionRequired"
    ALL_USERS = "allUsers"
    PUBLIC = "public"


class RetryPolicy(Struct, frozen=True, gc=False, array_like=True):
    """Which failures are tried again, and when; an empty ``errors_to_retry`` means every one.

    Persisted as an array in this order: add new fields at the end, with a default.
    """

    enabled: bool = False
    errors_to_retry: tuple[str, ...] = ()
    delays_ms: tuple[int, ...] = limits.RETRY_DELAYS_MS
    """How long after each failure in a row the next try starts; after the last there is none."""
    jitter: float = 0.0
    """By how much of itself a delay may grow, so that what failed together does not come back together."""

    def covers(self, error_name: str) -> bool:
        """Whether a task that failed with ``error_name`` is to be tried again."""
        return self.enabled and (not self.errors_to_retry or error_name in self.errors_to_retry)


class Function(Struct, frozen=True, array_like=True):
    """A deployed function. Persisted as an array in this order: add new fields at the end, with a default."""

    name: str
    entry_point: str
    runtime: str
    update_ms: int
    code_version: str
    """Names the deployed code to the runtime that deployed it; a new one with every change of the code."""
    description: str = ""
    enabled: bool = True
    time_limit_s: int = limits.TIME_LIMIT_DEFAULT_S
    memory_limit_mb: int = limits.MEMORY_DEFAULT_MB
    environment: dict[str, str] = {}
    permission_mode: PermissionMode = PermissionMode.PERMISSION_REQUIRED
    default_priority: int = 0
    retry_policy: RetryPolicy = RetryPolicy()
    paused: bool = False
    """Whether its tasks wait until it is resumed."""
    pause_reason: str | None = None
    """Why, for people."""
    external: bool = False
    """Whether others deployed it, with tools of their own: nothing is ever changed where it runs.

    ``code_version`` then is of the code that was there when its settings were read, empty if they could not be.
    """
    retention: Retention = NOTHING_SAID
    """How long what its tasks leave is kept, where that is not as long as for others."""
    start_rules: StartRules | None = None
    """How much of it may start; ``None`` without any such rule."""
