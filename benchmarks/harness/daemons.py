"""A real daemon in a process of its own, in a folder of the benchmark."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.harness.engine import AWS_ENVIRONMENT, REGION
from benchmarks.harness.processes import Server, serving

BASE_PATH = "/tasks/v1"


def running_daemon(folder: Path, stub_url: str | None = None, more: str = "") -> AbstractContextManager[Server]:
    """``taskd serve`` with its data in ``folder``: on the AWS runtime against a stub, or on the local runtime.

    ``more`` is configuration besides. Where it has no ``[auth]``, nobody is asked who they are.
    """
    config = folder / "taskd.toml"
    aws = f'runtime = "aws"\n[aws]\nregion = "{REGION}"\nendpoint_url = "{stub_url}"\n'
    open_to_all = "" if "[auth]" in more else '[auth]\nmode = "disabled"\n'
    config.write_text((aws if stub_url else "") + more + open_to_all)
    command = [sys.executable, "-m", "taskd", "serve", "--config", str(config), "--listen", "127.0.0.1:0"]
    return serving([*command, "--data", str(folder / "data")], folder / "daemon.log", AWS_ENVIRONMENT)
