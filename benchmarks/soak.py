"""A soak: a daemon under load for as long as wanted, with or without faults.

``python -m benchmarks.soak --minutes 30`` prints what the daemon holds over time and fails on a leak;
``--faults`` injects storms of faults instead, here and around Lambda by turns, and verifies what clients were told.
It is the soak of the tests' support.
"""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"


def main() -> int:
    """Runs the soak of the tests' support with the same arguments; returns its exit status."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.run(
        [sys.executable, "-m", "support.storm.soak", *sys.argv[1:]], env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
