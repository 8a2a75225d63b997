"""How long threads keep Python's interpreter from the event loop of a daemon; benchmarks show what comes of it."""

import subprocess
import sys
from pathlib import Path

from taskd.daemon import EXIT_CANNOT_START

_START_IN_VAIN = """
import sys
from taskd.config import Config
from taskd.daemon import run
from taskd.store.embedded.settings import StoreSettings
status = run(Config(store=StoreSettings(data=sys.argv[1])))
print(status, sys.getswitchinterval())
"""
_KEEP_MAX_S = 0.001


def test_a_daemons_threads_let_go_of_the_interpreter_soon(tmp_path: Path) -> None:
    file = tmp_path / "no-directory"
    file.touch()
    done = subprocess.run([sys.executable, "-c", _START_IN_VAIN, file], stdout=subprocess.PIPE, check=True)
    status, interval_s = done.stdout.split()
    assert int(status) == EXIT_CANNOT_START
    assert float(interval_s) <= _KEEP_MAX_S
