"""Files beside the journal, and a power cut at the worst moment: right after somebody relies on what is in them."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.functions.zips import python_zip
from support.power_cut.disk_model import write_image
from support.power_cut.recorded_disk import RecordedDisk

from taskd.auth.account_file import FILE_NAME, read_accounts
from taskd.auth.signing_key import load_key
from taskd.runtime.local.code_directory import CodeDirectory

CODE = python_zip("def handler(event, context): pass\n")
MAKE_DATA = """
import sys
from pathlib import Path
from taskd.store.embedded.journal.directory import make_directory

make_directory(Path(sys.argv[1]))
"""
ADD_CODE = """
import asyncio, sys
from pathlib import Path
from taskd.runtime.local.code_directory import CodeDirectory

async def main():
    code_directory = CodeDirectory(Path(sys.argv[1]) / "functions")
    await code_directory.open([])
    print(await code_directory.add("f", sys.stdin.buffer.read()))

asyncio.run(main())
"""
MAKE_KEY = """
import sys
from pathlib import Path
from taskd.auth.signing_key import load_key

print(load_key(Path(sys.argv[1])).hex())
"""
KILLED_BEFORE_THE_SYNC = """
import os, sys
from pathlib import Path
from taskd.auth import signing_key, secret_files

secret_files.sync_directory = lambda folder: os._exit(0) if (folder / "auth.key").exists() else None
signing_key.load_key(Path(sys.argv[1]))
"""
FILL_CATALOGUE = """
import asyncio, os, sys
from pathlib import Path
from taskd.model.task import TaskDraft
from taskd.store.base import Completed
from taskd.store.embedded.store import EmbeddedStore
from taskd.store.embedded.settings import StoreSettings

async def main():
    store = EmbeddedStore(StoreSettings(data=sys.argv[1]))
    await store.start()
    await store.add([TaskDraft("f", b"{}", 0)])
    await store.settle([Completed(task.id) for task in await store.claim(1)])
    await store._catalogue.caught_up()
    print(await store._catalogue.make_durable(), flush=True)
    os._exit(0)

asyncio.run(main())
"""
SET_ASIDE = """
import sqlite3, sys
from pathlib import Path
from taskd.store.embedded.catalogue.schema import set_aside

data = Path(sys.argv[1])
for part in ("", "-wal"):
    (data / ("catalogue.db" + part)).write_bytes(b"broken")
set_aside(data / "catalogue.db", "1", sqlite3.DatabaseError())
"""


class RecordedMachine:
    """A disk, and programs that run on it until the power is cut."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "home" / "data"
        self._after = directory / "after"
        self.data.parent.mkdir()
        self._disk = RecordedDisk(self.data.parent, directory / "traces")

    def run(self, *arguments: str, given: bytes = b"") -> str:
        """What Python prints."""
        environment = {**os.environ, **self._disk.environment}
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, input=given, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    def cut_power(self) -> Path:
        """The data directory with nothing in it that was not synced."""
        self._after.mkdir()
        write_image(self._disk.current_model().durable_image(), self._after)
        return self._after / "data"


@pytest.fixture
def machine(tmp_path: Path) -> RecordedMachine:
    return RecordedMachine(tmp_path)


def test_code_deployed_right_after_the_first_start_is_kept(machine: RecordedMachine) -> None:
    machine.run("-c", MAKE_DATA, str(machine.data))
    version = machine.run("-c", ADD_CODE, str(machine.data), given=CODE)
    code_directory = CodeDirectory(machine.cut_power() / "functions")
    assert (code_directory.path("f", version) / "index.py").is_file()


async def test_code_that_somebody_else_puts_in_place_counts_only_once_that_is_durable(tmp_path: Path) -> None:
    code_directory = CodeDirectory(tmp_path)
    await code_directory.open([])
    version = await code_directory.add("f", CODE)
    with code_directory._publishing:
        again = asyncio.create_task(code_directory.add("f", CODE))
        done, _ = await asyncio.wait([again], timeout=0.05)
        assert not done
    assert await again == version


def test_an_account_made_before_the_first_start_is_kept(machine: RecordedMachine) -> None:
    command = ("-m", "taskd", "auth", "user", "add", "ada@example.com", "--data", str(machine.data))
    machine.run(*command, given=b"correct horse battery\n")
    [user] = read_accounts(machine.cut_power() / FILE_NAME).users
    assert user.email == "ada@example.com"


def test_a_signing_key_that_a_killed_process_made_is_kept_once_it_is_used(machine: RecordedMachine) -> None:
    machine.run("-c", MAKE_DATA, str(machine.data))
    machine.run("-c", KILLED_BEFORE_THE_SYNC, str(machine.data))
    key = machine.run("-c", MAKE_KEY, str(machine.data))
    assert load_key(machine.cut_power()).hex() == key


def test_a_catalogue_that_says_it_is_durable_is_so_also_when_nothing_was_left_to_write(
    machine: RecordedMachine,
) -> None:
    position = int(machine.run("-c", FILL_CATALOGUE, str(machine.data)))
    with closing(sqlite3.connect(machine.cut_power() / "catalogue.db")) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'position'").fetchone() == (position,)
        assert connection.execute("SELECT status FROM tasks").fetchall() == [("complete",)]
    assert position == 3


def test_a_broken_catalogue_that_was_set_aside_does_not_come_back(machine: RecordedMachine) -> None:
    machine.run("-c", MAKE_DATA, str(machine.data))
    machine.run("-c", SET_ASIDE, str(machine.data))
    names = {path.name for path in machine.cut_power().iterdir()}
    assert names == {"catalogue.db.broken-1", "catalogue.db.broken-1-wal"}
