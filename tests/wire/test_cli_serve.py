"""``taskd serve``: what it refuses before it starts, and how it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode
from taskd.system.process import EXIT_INTERNAL_FAULT

TIMEOUT_S = 60


def test_asking_nobody_beyond_loopback_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "taskd.toml"
    path.write_text('[auth]\nmode = "disabled"\n')
    assert main(["serve", "--config", str(path), "--listen", "0.0.0.0:0"]) == ExitCode.USAGE
    assert "--insecure" in capsys.readouterr().err


def test_every_problem_of_the_configuration_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "taskd.toml"
    path.write_text("[store]\nsegment_mib = 'x'\n[dispatch]\nnonsense = 1\n")
    assert main(["serve", "--config", str(path)]) == ExitCode.USAGE
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"taskd: {path}: store.segment_mib: ")
    assert second.startswith(f"taskd: {path}: dispatch.nonsense: ")


@pytest.mark.parametrize("option", [["--runtime", "gcp"], ["--port", "1"], ["extra"]])
def test_a_wrong_option_is_refused(option: list[str]) -> None:
    assert main(["serve", *option]) == ExitCode.USAGE


def test_a_daemon_that_is_told_to_stop_exits_with_0(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "taskd", "serve", "--data", str(tmp_path / "data"), "--listen", "[::1]:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("taskd listening on http://[::1]:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == ExitCode.OK


def test_the_exit_codes_are_those_of_the_daemon() -> None:
    assert EXIT_INTERNAL_FAULT == ExitCode.FAULT
