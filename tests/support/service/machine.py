"""A booted Debian in a container, with the service installed as its unit says: commands inside, and the HTTP API.

`.ci/boot` boots it and names the process that is its init in ``TASKD_BOOTED``. It has a network of its own, so whatever
talks to the service runs inside, too.
"""

import json
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ACCOUNT = "ada@example.com"
"""May do everything, with the password of `tests/support/auth/accounts.py`."""
BASE_URL = "http://localhost:8080"
CONFIG = "/etc/taskd/taskd.toml"
DATA = "/var/lib/taskd"
SOURCE = "/usr/src/taskd"
TASKD = "/opt/taskd/bin/taskd"
TIMEOUT_S = 120
_ENVIRONMENT = ("HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")


class Answer(NamedTuple):
    """What the service answered."""

    status: int
    body: Any


class Machine:
    """The booted system whose init is the process ``init_pid`` of this machine."""

    def __init__(self, init_pid: int) -> None:
        self._enter = ("nsenter", "-t", str(init_pid), "-a", "/usr/bin/env", "-i", *_ENVIRONMENT)
        self.network = ("nsenter", "-t", str(init_pid), "-n")
        """Runs a command of this machine where the service can be reached."""
        self.root = Path(f"/proc/{init_pid}/root")
        self.state = self.root / "var/lib/private/taskd"
        """The data directory, where :data:`DATA` leads inside."""
        self.token: str | None = None

    def try_to(self, command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a shell command inside, as root, and says what became of it."""
        return subprocess.run(
            [*self._enter, "sh", "-c", command],
            input=given,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def run(self, command: str, given: str = "") -> str:
        """What a shell command prints that has to succeed."""
        done = self.try_to(command, given)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.log()}"
        return done.stdout

    def taskd(self, *arguments: str, given: str = "") -> str:
        """What a ``taskd`` command prints that has to succeed."""
        token = f"TASKD_TOKEN={self.token} " if self.token else ""
        return self.run(token + shlex.join([TASKD, *arguments]), given)

    def show(self, unit_property: str) -> str:
        """A property of the unit."""
        return self.run(f"systemctl show taskd --value -p {unit_property}").strip()

    def log(self) -> str:
        """What the service has logged since the system was booted."""
        return self.try_to("journalctl -u taskd --no-pager -o cat").stdout

    def api(self, path: str, body: object = None, method: str | None = None, **headers: str) -> Answer:
        """The answer to a request: a POST where there is a body. ``_`` in names of headers stands for ``-``."""
        shown = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        typed = {} if body is None else {"Content-Type": "application/json"}
        named = shown | typed | {name.replace("_", "-"): value for name, value in headers.items()}
        curl = ["curl", "-sg", "-m", "60", "-w", "\n%{http_code}", BASE_URL + path]
        curl += [part for name, value in named.items() for part in ("-H", f"{name}: {value}")]
        curl += [] if body is None else ["-d", "@-"]
        curl += ["-X", method] if method else []
        text, _, status = self.run(shlex.join(curl), "" if body is None else json.dumps(body)).rpartition("\n")
        return Answer(int(status), json.loads(text) if text.startswith(("{", "[")) else text)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Returns as soon as ``condition`` holds."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{what}: not within {TIMEOUT_S} s\n{self.log()}"
            time.sleep(0.1)

    def processes(self) -> str:
        """The processes of the service and of its functions, however they were left behind."""
        return self.run("grep -las '[/]opt/taskd' /proc/[0-9]*/cmdline || true")

    def owners(self) -> set[str]:
        """Whose the files in the data directory are, as ``user:group``."""
        return set(self.run(f"find {DATA}/ -printf '%u:%g\\n'").split())
