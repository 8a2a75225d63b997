"""What a daemon has is its own user's: files, directories and memory, and functions run all the same."""

import base64
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daemon.process import Api, api_of, running_daemon
from support.functions.zips import python_zip

from taskd.model.errors import TaskdError
from taskd.system.privacy import refuse_foreign

WRITES_A_FILE = """
import os, pathlib

def handler(task, context):
    path = pathlib.Path(os.environ["HOME"]) / "scratch"
    path.write_text("fine")
    status = pathlib.Path("/proc/self/status").read_text()
    pathlib.Path("/proc/self/environ").read_bytes()
    assert path.read_text() == "fine" and "Name:" in status
"""

START_IN_VAIN = """
import ctypes, os, sys
from taskd.config import Config
from taskd.daemon import run
from taskd.store.embedded.settings import StoreSettings

PR_GET_DUMPABLE = 3
status = run(Config(store=StoreSettings(data=sys.argv[1])))
print(status, ctypes.CDLL(None).prctl(PR_GET_DUMPABLE), oct(os.umask(0)))
"""


def open_to_others(path: Path) -> bool:
    return bool(path.stat(follow_symlinks=False).st_mode & (stat.S_IRWXG | stat.S_IRWXO))


async def run_a_function(api: Api) -> None:
    code = base64.b64encode(python_zip(WRITES_A_FILE)).decode()
    await api.call(
        "POST", "/functions", {"name": "f", "runtime": "python3.11", "entryPoint": "index.handler", "code": code}
    )
    task = await api.create("f")
    assert (await api.wait_until_final(task["id"]))["status"] == "complete"


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("wide_umask")
async def test_nobody_else_can_look_into_what_a_daemon_makes(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        await run_a_function(api)
        assert not open_to_others(daemon.data)
        code = daemon.data / "functions"
        ours = [path for path in daemon.data.rglob("*") if not path.is_relative_to(code)]
        assert {"auth.key", "catalogue.db", "journal", "lock"} <= {path.name for path in ours}
        assert [path for path in [*ours, code] if open_to_others(path)] == []


async def test_a_data_directory_of_before_is_closed(tmp_path: Path) -> None:
    async with running_daemon(tmp_path):
        pass
    (tmp_path / "data").chmod(0o755)
    async with running_daemon(tmp_path) as daemon:
        assert stat.S_IMODE(daemon.data.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o1777])
async def test_a_directory_that_holds_other_things_is_left_as_it_is(tmp_path: Path, mode: int) -> None:
    (tmp_path / "data" / "others").mkdir(parents=True)
    (tmp_path / "data").chmod(mode)
    async with running_daemon(tmp_path) as daemon:
        assert stat.S_IMODE(daemon.data.stat().st_mode) == mode
        assert "Other users may look into the data directory" in daemon.log.read_text()


@pytest.mark.parametrize("opened", ["directory", "place"])
def test_a_directory_that_somebody_has_made_where_anybody_may_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    """As ``taskd-data`` below ``/tmp``, for the next one who runs ``taskd serve`` there."""
    data = tmp_path / "place" / "taskd-data"
    data.mkdir(parents=True)
    belongs_to_another(data, monkeypatch)
    refuse_foreign(data)
    (data if opened == "directory" else data.parent).chmod(0o1777)
    with pytest.raises(TaskdError, match="belongs to another user"):
        refuse_foreign(data)


def belongs_to_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(path, 1, 1)
    else:
        monkeypatch.setattr("os.geteuid", lambda: path.stat().st_uid + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a process keep its memory to itself")
def test_a_daemons_memory_can_be_neither_traced_nor_dumped(tmp_path: Path) -> None:
    (tmp_path / "no-directory").touch()
    command = [sys.executable, "-c", START_IN_VAIN, str(tmp_path / "no-directory")]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split() == [b"1", b"0", b"0o77"]
