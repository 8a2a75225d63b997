"""What the exit code of every command means: the only place where the numbers stand."""

from enum import IntEnum

from taskd.model.errors import TaskdError


class ExitCode(IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TASK_FAILED = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    TASK_CANCELED = 6
    NOT_PERMITTED = 7
    FAULT = 70
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "the operation failed, or what was checked is not in order",
    ExitCode.USAGE: "the command line or the configuration is wrong",
    ExitCode.TASK_FAILED: "the task that was waited for failed (or was retried as another)",
    ExitCode.NOT_FOUND: "there is no such task or function",
    ExitCode.UNREACHABLE: "the server cannot be reached, or does not answer in time",
    ExitCode.TASK_CANCELED: "the task that was waited for was canceled",
    ExitCode.NOT_PERMITTED: "the server does not let this caller do that",
    ExitCode.FAULT: "the daemon ended because a part of it failed; starting it again recovers",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}


def help_lines() -> str:
    """The table of exit codes as ``--help`` shows it; ``\\b`` keeps click from rewrapping it."""
    rows = [f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items()]
    return "\n".join(["\b", "Exit codes:", *rows])


class CommandError(TaskdError):
    """A command cannot do what it was asked; ``main`` prints the message and exits so."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
