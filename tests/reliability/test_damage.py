"""Damage: whatever bit flips and wherever a file ends, a start gives back exactly a prefix, or names file and offset.

And ``taskd journal repair`` then gives a journal that starts, with nothing that ran before waiting to run again.
"""

import logging
import os
import random
from pathlib import Path

import pytest
from support.clocks import FakeClock
from support.power_cut.disk_model import read_image, write_image
from support.power_cut.stepped_store import CatalogueStub, FrameHistory, SteppedStore, contents

from taskd.cli import main
from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.rql.parser import parse
from taskd.store.base import Completed, Failed, Outcome, Requeued, Retried
from taskd.store.embedded.errors import JournalDamagedError, StoreError
from taskd.store.embedded.recovery.recover import recover
from taskd.store.embedded.recovery.repair import repair
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

REPAIRS = int(os.environ.get("TASKD_REPAIRS", "25"))
NOW_MS = 1_700_000_000_000


def a_journal(data: Path) -> FrameHistory:
    """A snapshot, a sealed segment and one that is written to, small enough to damage every bit of."""
    rng = random.Random(3)
    store = SteppedStore(data, CatalogueStub(), rng, segment_bytes=400)
    store.recover()
    history = FrameHistory()
    while len(list((data / "journal").glob("*.journal"))) < 3 or len(history.payloads) < 14:
        group = store.next_group()[:1]
        if len(group[0]) < 250:
            history.extend(group)
            store.commit(group)
        if len(history.payloads) == 8:
            store.compact()
    store.end()
    return history


def try_to_start(data: Path, history: FrameHistory) -> None:
    """The state is that after some prefix, or the start is refused with the place of the damage."""
    try:
        recovered = recover(data / "journal", CatalogueStub(), FakeClock())
    except JournalDamagedError as error:
        assert_names_the_place(error, data / "journal")
        return
    assert contents(recovered.state) == history.states[recovered.position.sequence]
    assert recovered.position.sequence >= len(history.payloads) - 1


def assert_names_the_place(error: JournalDamagedError, journal: Path) -> None:
    assert error.path.parent == journal
    assert error.offset <= error.path.stat().st_size
    assert f"{error.path} is damaged at byte {error.offset}" in str(error)


def test_every_flipped_bit_gives_a_prefix_or_is_named(memory: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    history = a_journal(memory)
    image = read_image(memory / "journal")
    for name, content in image.items():
        if not name.endswith(".journal"):
            continue
        assert content is not None
        for bit in range(len(content) * 8):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            write_image({**image, name: bytes(damaged)}, memory / "journal")
            try_to_start(memory, history)
        write_image(image, memory / "journal")


def test_every_length_that_a_segment_is_cut_to_gives_a_prefix_or_is_named(
    memory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All but one case are told by the journal alone: a last segment cut between frames needs the catalogue."""
    caplog.set_level(logging.CRITICAL)
    history = a_journal(memory)
    image = read_image(memory / "journal")
    complete = CatalogueStub(len(history.payloads), history.rows[-1])
    for name, content in image.items():
        if not name.endswith(".journal"):
            continue
        assert content is not None
        for length in range(len(content)):
            write_image({**image, name: content[:length]}, memory / "journal")
            with pytest.raises(StoreError):
                recover(memory / "journal", complete, FakeClock())
        write_image(image, memory / "journal")


class PopulatedStore:
    """A store with a history: tasks in every status, in many segments."""

    def __init__(self, data: Path, rng: random.Random) -> None:
        self._data = data
        self._rng = rng
        self.fatal: list[BaseException] = []
        self.ever_started: set[str] = set()
        self.canceled: set[str] = set()

    async def open(self) -> EmbeddedStore:
        store = EmbeddedStore(StoreSettings(data=str(self._data), segment_mib=0), on_fatal=self.fatal.append)
        await store.start()
        return store

    async def work(self) -> dict[str, Task]:
        """Works for a while and gives every task as it is at the end."""
        store = await self.open()
        for _ in range(25):
            for task in await store.add([self._draft() for _ in range(self._rng.randrange(1, 4))]):
                if self._rng.random() < 0.1:
                    self.canceled.add((await store.cancel(task.id)).id)
            running = await store.claim(self._rng.randrange(3))
            self.ever_started |= {task.id for task in running}
            await store.settle([self._outcome(task) for task in running if self._rng.random() < 0.8])
            if self._rng.random() < 0.1:
                await store.compact()
        tasks = await everything(store)
        await store.stop()
        return tasks

    def _draft(self) -> TaskDraft:
        return TaskDraft("f", b'{"n":%d}' % self._rng.randrange(1000), 0, tags=("a", "b"))

    def _outcome(self, task: Task) -> Outcome:
        error = TaskError(ErrorType.RUNTIME, "E", "m")
        choices: list[Outcome] = [Completed(task.id), Failed(task.id, error), Requeued(task.id, 0)]
        return self._rng.choice([*choices, Retried(task.id, error, self._draft())])


async def everything(store: EmbeddedStore) -> dict[str, Task]:
    found: dict[str, Task] = {}
    while rows := (await store.find(parse(f"limit(100,{len(found)})"))).rows:
        found |= {task.id: task for task in rows}
    return found


def damage(data: Path, rng: random.Random) -> None:
    """Takes away a file or a piece of one, or writes over some bytes."""
    for _ in range(rng.randrange(1, 4)):
        paths = sorted((data / "journal").glob("*.journal"))
        path = rng.choice(paths)
        content = bytearray(path.read_bytes())
        at, length = rng.randrange(len(content) + 1), rng.choice([1, 20, 200])
        kind = rng.choice(["overwritten", "cut out", "cut off", "removed"])
        if kind == "removed" and len(paths) > 1:
            path.unlink()
            continue
        if kind == "overwritten":
            content[at : at + length] = rng.randbytes(length)
        elif kind == "cut out":
            del content[at : at + length]
        else:
            del content[at:]
        path.write_bytes(content)


@pytest.mark.parametrize("with_catalogue", [True, False])
async def test_a_repaired_journal_starts_with_all_that_the_catalogue_knew_and_runs_nothing_twice(
    memory: Path, caplog: pytest.LogCaptureFixture, with_catalogue: bool
) -> None:
    caplog.set_level(logging.CRITICAL)
    for seed in range(REPAIRS):
        rng = random.Random(seed)
        data = memory / f"{seed}"
        populated = PopulatedStore(data, rng)
        before = await populated.work()
        damage(data, rng)
        if not with_catalogue:
            for path in data.glob("catalogue.db*"):
                path.unlink()
        report = repair(data, NOW_MS)
        store = await populated.open()
        after = await everything(store)
        await store.stop()
        assert not populated.fatal
        waiting = {task_id for task_id, task in after.items() if task.status is Status.NEW}
        if with_catalogue:
            assert {key: task.status for key, task in after.items()} == {
                key: task.status for key, task in before.items()
            }, f"seed {seed}: {report}"
        else:
            assert waiting <= {key for key, task in before.items() if task.status is Status.NEW}, f"seed {seed}"
            assert set(after) <= set(before)


def test_repair_leaves_a_sound_journal_alone(memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_journal(memory)
    image = read_image(memory)
    assert main(["journal", "repair", str(memory)]) == 0
    left = {name: content for name, content in read_image(memory).items() if not name.startswith("audit")}
    assert left == image
    assert capsys.readouterr().out.startswith("Nothing to repair: ")


def test_repair_tells_what_was_given_up_and_keeps_the_damaged_files(
    memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_journal(memory)
    path = max((memory / "journal").glob("*.journal"))
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    assert main(["journal", "verify", str(memory)]) != 0
    assert main(["journal", "repair", str(memory)]) == 0
    out = capsys.readouterr().out
    assert "Lost frames " in out
    assert str(path) in out
    [aside] = memory.glob("journal.damaged-*")
    assert (aside / path.name).read_bytes() == content
    assert main(["journal", "verify", str(memory)]) == 0
