"""The servers that the other queues and the bulk yardstick need: started in a folder, on a free port, and stopped.

All are set to have on disk what they acknowledge, as the journal does.
"""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from benchmarks.harness.processes import stop
from benchmarks.harness.study import UnavailableError

_START_TIMEOUT_S = 30.0
_POSTGRES_USER = "postgres"
_DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
"""Where Debian puts its programs, by version, off the path."""


class Broker(Struct, frozen=True):
    """A kind of server. ``url`` has a place for the port."""

    package: str
    """The Debian package."""
    program: str
    url: str
    settings: str
    """How durable it is set to be, for the report."""
    arguments: Callable[[Path, int], Sequence[str]]
    """By folder and port."""
    prepare: Callable[[Path], None] = lambda _: None
    """Makes what it needs in the folder."""
    user: str | None = None
    """Whom it must run as if we are root."""


@contextmanager
def running_broker(broker: Broker, folder: Path) -> Iterator[str]:
    """A broker that answers, its data in ``folder``; returns its URL. Raises ``UnavailableError`` if not installed."""
    program = find_program(broker)
    folder.mkdir()
    user = _user(broker)
    if user is not None:
        shutil.chown(folder, user)
        folder.parent.chmod(0o711)  # temporary folders let nobody else in
    broker.prepare(folder)
    port = free_port()
    command = [program, *broker.arguments(folder, port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, user=user, cwd=folder)
    try:
        _wait_until_it_listens(process, port, folder / "log")
        yield broker.url.format(port=port)
    finally:
        stop(process)


def find_program(broker: Broker) -> str:
    """Where the broker's program is; raises ``UnavailableError``."""
    places = [shutil.which(broker.program), *sorted(_DEBIAN_POSTGRESQL.glob(f"*/bin/{broker.program}"), reverse=True)]
    program = next(filter(None, places), None)
    if program is None:
        raise UnavailableError(f"there is no {broker.program} here; install it with: apt-get install {broker.package}")
    return str(program)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user(broker: Broker) -> str | None:
    if broker.user is None or os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(broker.user)
    except KeyError:
        raise UnavailableError(f"as root, {broker.program} needs a user named {broker.user}") from None
    return broker.user


def _wait_until_it_listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text(errors='replace')}")


def _make_cluster(folder: Path) -> None:
    program = str(Path(find_program(POSTGRESQL)).resolve().with_name("initdb"))
    subprocess.run(
        [program, "-D", "cluster", "-A", "trust", "-U", _POSTGRES_USER, "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        user=_user(POSTGRESQL),
    )


REDIS = Broker(
    package="redis-server",
    program="redis-server",
    url="redis://127.0.0.1:{port}/0",
    settings="Redis with appendonly yes, appendfsync always",
    arguments=lambda folder, port: (
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""),
        *("--appendonly", "yes", "--appendfsync", "always"),
    ),
)
POSTGRESQL = Broker(
    package="postgresql",
    program="postgres",
    url=f"postgresql://{_POSTGRES_USER}@127.0.0.1:{{port}}/postgres",
    settings="PostgreSQL with fsync and synchronous_commit on",
    arguments=lambda folder, port: (
        *("-D", str(folder / "cluster"), "-p", str(port), "-k", "", "-c", "listen_addresses=127.0.0.1"),
        *("-c", "fsync=on", "-c", "synchronous_commit=on"),
    ),
    prepare=_make_cluster,
    user=_POSTGRES_USER,
)
BEANSTALKD = Broker(
    package="beanstalkd",
    program="beanstalkd",
    url="127.0.0.1:{port}",
    settings="beanstalkd with -f0",
    arguments=lambda folder, port: ("-l", "127.0.0.1", "-p", str(port), "-b", str(folder), "-f0"),
)
