"""Functions: what a task runs, and the runtimes there are."""

import re
from enum import StrEnum

from msgspec import Struct

from taskd.model import limits

NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")

RUNTIMES: tuple[str, ...] = (
    *(f"nodejs{major}.x" for major in (16, 18, 20, 22, 24)),
    *(f"python3.{minor}" for minor in range(8, 15)),
    *("java8.al2", "java11", "java17", "java21", "java25"),
    *("dotnet6", "dotnet8", "dotnet10"),
    *("ruby3.2", "ruby3.3", "ruby3.4", "ruby4.0"),
    *("provided.al2", "provided.al2023"),
)
"""The runtimes a function may name. Which of them the local runtime runs is the local runtime's to say."""


class PermissionMode(StrEnum):
    """Who may execute a function directly."""

    PERMISSION_REQUIRED = "permissionRequired"
    ALL_USERS = "allUsers"
    PUBLIC = "public"


class RetryPolicy(Struct, frozen=True, gc=False, array_like=True):
    """Which failures are tried again; an empty ``errors_to_retry`` means every one."""

    enabled: bool = False
    errors_to_retry: tuple[str, ...] = ()

    def covers(self, error_name: str) -> bool:
        """Whether a task that failed with ``error_name`` is to be tried again."""
        return self.enabled and (not self.errors_to_retry or error_name in self.errors_to_retry)


class Function(Struct, frozen=True, array_like=True):
    """A deployed function. Written to the journal in this order: add new fields at the end, with a default."""

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
