"""The command line as a whole: its help, its exit codes, and how mistakes are told."""

import os
import signal
import subprocess
import sys

import click
import pytest

from taskd.cli import COMMANDS, cli, main
from taskd.cli.exit_codes import MEANINGS, ExitCode

LOADED = [name for name in COMMANDS if name != "serve"]


def test_help_names_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert all(f"{code.value:>3}  {meaning}\n" in shown for code, meaning in MEANINGS.items())


def test_every_exit_code_has_a_meaning() -> None:
    assert MEANINGS.keys() == set(ExitCode)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_described_as_in_the_list(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    assert command.help.split("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == ExitCode.OK
    assert "Exit codes:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["tasks", "nonsense"],
        ["tasks", "create"],
        ["tasks", "create", "f", "--data", "[1]"],
        ["tasks", "create", "f", "--data", "{"],
        ["tasks", "create", "f", "--data", "@/nowhere"],
        ["tasks", "create", "f", "--start", "soon"],
        ["tasks", "create", "f", "--priority", "high"],
        ["tasks", "list", "--status", "odd"],
        ["tasks", "list", "--limit", "0"],
        ["tasks", "list", "--url", "localhost:8080"],
        ["tasks", "list", "--url", "http://[::1"],
        ["tasks", "list", "--url", "http://user:secret@host"],
        ["tasks", "list", "--url", "http://host:port"],
        ["tasks", "list", "--token", "a\nb"],
        ["functions", "deploy", "/nowhere"],
        ["tasks", "show", "\udcff"],
    ],
)
def test_a_wrong_command_line_is_told_without_a_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err
    assert "Traceback" not in captured.err


def test_a_client_command_does_not_load_the_daemons_libraries() -> None:
    code = "import sys, taskd.cli.tasks, taskd.cli.functions; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_ctrl_c_is_quiet() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, and inherited so, in a script's background
    command = [sys.executable, "-m", "taskd", "tasks", "create", "f", "--data", "-"]
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "taskd.cli.views" in line)  # the command is being loaded
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    remarks = [line for line in errors.splitlines() if line and not line.startswith("import time:")]
    assert (process.returncode, output, remarks) == (ExitCode.INTERRUPTED, "", [])
