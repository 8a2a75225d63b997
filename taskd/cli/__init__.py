"""The command line: one file a group of commands, each loaded only when it is called.

``main`` is the one place where exceptions become a line on stderr and an exit code. The commands talk to the
service over HTTP alone; only ``serve``, ``reload``, ``auth``, ``token`` and ``journal`` touch the rest of taskd.
"""

import io
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from taskd import __version__
from taskd.cli.exit_codes import CommandError, ExitCode, help_lines
from taskd.cli.output import safe
from taskd.config import ConfigError

COMMANDS: dict[str, str] = {
    "serve": "Run the daemon.",
    "reload": "Have a running daemon read its accounts and credentials anew.",
    "demo": "See it work: functions, priorities, logs, and what to try next.",
    "functions": "Deploy functions, and look at those there are.",
    "tasks": "Create tasks, follow them, read their logs.",
    "operations": "See what is being done to many tasks at once, and end it.",
    "schedules": "Have tasks made again and again.",
    "events": "Tell of what has happened, and see what has.",
    "dispatchers": "See what is to be done when there is an event.",
    "pause": "Have nothing started until `taskd resume`.",
    "resume": "Have everything go on after `taskd pause`.",
    "webhooks": "Tell others of what has happened.",
    "auth": "Say who may call, and what they may do.",
    "audit": "Show who did what to the service.",
    "token": "Say where the local account's token is: a file for `curl -H @FILE`.",
    "config": "Check a configuration, or show the one in force.",
    "journal": "Look into the journal of a data directory, and repair it.",
}
"""Every command, and the line that describes it; ``taskd.cli.<name>`` has it under its name."""


class _LazyGroup(click.Group):
    """Lists the commands without loading them: a client command has no use for the daemon's libraries."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"taskd.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, epilog=help_lines(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="taskd")
def cli() -> None:
    """taskd runs functions when they are due: durably, by priority, on this machine or on AWS Lambda.

    Start with `taskd demo`.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command (that of the process without ``arguments``) and returns its exit code."""
    _replace_unencodable_text()
    try:
        result = cli.main(arguments, prog_name="taskd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except ConfigError as error:
        return _print_error(str(error), ExitCode.USAGE)
    except CommandError as error:
        return _print_error(str(error), error.exit_code)
    except UnicodeEncodeError:
        return _print_error("the command line holds bytes that are not UTF-8", ExitCode.USAGE)
    return result if isinstance(result, int) else ExitCode.OK


def _print_error(message: str, exit_code: ExitCode) -> ExitCode:
    for line in message.splitlines():
        click.echo(f"taskd: {safe(line)}", err=True)
    return exit_code


def _replace_unencodable_text() -> None:
    """What functions print may hold characters that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
