"""``taskd demo`` as a newcomer runs it: a process of its own, in a terminal or not, to the end or until Ctrl-C."""

import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskd.cli.demo_daemon import DaemonDiedError, running_daemon
from taskd.cli.demo_tasks import NODE, PLANS
from taskd.cli.exit_codes import ExitCode

pytestmark = pytest.mark.slow


DEMO = [sys.executable, "-m", "taskd", "demo"]
ORDER = [plan.label for plan in sorted(PLANS, key=lambda plan: -plan.priority)]
TIMEOUT_S = 60
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir()
    return {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "TERM": "xterm", "COLUMNS": "100"}


def run_demo(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*DEMO, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def without_node(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "PATH": "/nowhere"}


@pytest.fixture(autouse=True)
def sigint_as_in_a_terminal() -> Iterator[None]:
    """Children inherit SIGINT ignored where the tests run in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def serving(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        DEMO,
        env=without_node(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.terminate()  # not kill: the demo ends its daemon, too


def read_until_serving(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("Serving on "):
            return lines
    pytest.fail("the demo ended:\n" + "\n".join(lines))


@needs_node
def test_tasks_run_in_the_order_of_their_priorities(environment: dict[str, str], tmp_path: Path) -> None:
    result = run_demo(environment, "--exit")
    assert (result.returncode, result.stderr) == (ExitCode.OK, "")
    assert re.findall(r"^\d\. complete +priority +-?\d+  (.*) \(", result.stdout, re.MULTILINE) == ORDER
    assert f"{len(PLANS)} of {len(PLANS)} tasks are complete." in result.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


def test_without_node_its_example_is_skipped_with_what_to_do(environment: dict[str, str]) -> None:
    result = run_demo(without_node(environment), "--exit")
    assert result.returncode == ExitCode.OK
    assert "hello-node is skipped, as there is no node here. Install Node.js" in result.stdout
    labels = [plan.label for plan in sorted(PLANS, key=lambda plan: -plan.priority) if plan.function != NODE]
    assert re.findall(r"^\d\. complete +priority +-?\d+  (.*) \(", result.stdout, re.MULTILINE) == labels


def test_a_demo_that_goes_wrong_does_not_exit_with_0(environment: dict[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "node"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    result = run_demo({**environment, "PATH": f"{broken.parent}:/usr/bin:/bin"}, "--exit")
    assert result.returncode == ExitCode.FAILED
    assert "Traceback" not in result.stderr


def test_a_data_directory_of_the_users_own_is_kept(environment: dict[str, str], tmp_path: Path) -> None:
    assert run_demo(without_node(environment), "--exit", "--data", str(tmp_path / "kept")).returncode == ExitCode.OK
    assert (tmp_path / "kept" / "journal").is_dir()


def test_listening_beyond_loopback_is_refused_before_anything_starts(environment: dict[str, str]) -> None:
    result = run_demo(environment, "--listen", "0.0.0.0:0")
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")
    assert "--insecure" in result.stderr


@needs_curl
def test_what_is_suggested_works_as_it_stands(serving: subprocess.Popen[str]) -> None:
    lines = read_until_serving(serving)
    suggested = [line for line in lines if line.startswith("curl ")]
    assert len(suggested) == 4
    for line in suggested:
        command = [*shlex.split(line), "--fail"]
        assert subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False).returncode == 0, line
    (url,) = [line.removeprefix("export TASKD_URL=") for line in lines if line.startswith("export ")]
    for line in (line for line in lines if re.search(r"\b(taskd|-m taskd) (tasks|functions) ", line)):
        command = [sys.executable, "-m", "taskd", *shlex.split(line)[shlex.split(line).index("taskd") + 1 :]]
        environment = {**os.environ, "TASKD_URL": url}
        result = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
        assert result.returncode == 0, line


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_demo_and_its_daemon_and_leaves_nothing(
    serving: subprocess.Popen[str], number: signal.Signals, code: int, tmp_path: Path
) -> None:
    read_until_serving(serving)
    serving.send_signal(number)
    _, errors = serving.communicate(timeout=TIMEOUT_S)
    assert (serving.returncode, errors) == (code, "")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_in_a_terminal_the_table_is_live(environment: dict[str, str]) -> None:
    terminal, inside = pty.openpty()
    with subprocess.Popen([*DEMO, "--exit"], env=without_node(environment), stdout=inside, stderr=inside) as process:
        os.close(inside)
        shown = b""
        while chunk := _read(terminal):
            shown += chunk
        assert process.wait(TIMEOUT_S) == ExitCode.OK
    os.close(terminal)
    text = shown.decode()
    assert "all of them are due in" in text
    assert "○ new" in text
    assert "● complete" in text
    assert "\x1b[?25h" in text, "the cursor is shown again"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so when the other side is closed
        return b""


def test_a_daemon_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(DaemonDiedError, match=r"nowhere\.toml: cannot be read"),
        running_daemon(["--config", "/nowhere.toml"], tmp_path / "log"),
    ):
        pass


def test_a_daemon_that_dies_is_noticed(tmp_path: Path) -> None:
    arguments = ["--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
    with running_daemon(arguments, tmp_path / "log") as daemon:
        daemon._process.kill()
        with pytest.raises(DaemonDiedError, match="ended by itself"):
            daemon.wait()
