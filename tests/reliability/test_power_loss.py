"""Power cuts: from every state that a disk may be left in, the journal comes back with all that was acknowledged.

Processes on a journal are recorded at the boundary to the operating system, kills between them included. For moments
all through the record the disk is rebuilt as a power cut could have left it, and recovered from. A failure names its
seed; ``TASKD_POWER_SEEDS=<n>`` tries more of them.
"""

import logging
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.power_cut.disk_model import DiskModel, Image, write_image
from support.power_cut.recorded_directory import ProcessKilled, RecordedDirectory
from support.power_cut.stepped_store import CatalogueStub, FrameHistory, SteppedStore, contents

SEEDS = int(os.environ.get("TASKD_POWER_SEEDS", "4"))
CUTS_PER_MOMENT = 3
GROUPS_PER_PROCESS = 12
PROCESSES = 3


class Recording:
    """Some processes on one disk, each but the last killed at a random operation."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.directory = RecordedDirectory(root, rng)
        self.directory.short_writes = True
        self._data = root / "data"
        self._rng = rng
        self._segment_bytes = rng.choice([0, 700, 4_000])
        self._catalogue = CatalogueStub(recorded=self.directory)
        self._history = FrameHistory()

    def make(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(PROCESSES):
            kill_within = self._rng.randrange(5, 120)
            self.directory.kill_at = len(self.directory.trace) + kill_within if number < PROCESSES - 1 else None
            store = SteppedStore(self._data, self._catalogue, self._rng, self._segment_bytes)
            with suppress(ProcessKilled), self.directory.recording(monkeypatch):
                self._work(store)
            store.end()

    def _work(self, store: SteppedStore) -> None:
        """Recovers, works for a while, and marks in the record what may be relied on from then on."""
        sequence = store.recover().position.sequence
        self._history = self._history.until(sequence)
        assert contents(store.state) == self._history.states[-1]
        self.directory.mark("acknowledged", sequence)
        for _ in range(GROUPS_PER_PROCESS):
            group = store.next_group()
            self._history = self._history.until(store.sequence)
            self._history.extend(group)
            self.directory.mark("history", self._history)
            if self._rng.random() < 0.1:
                store.seal()
            store.commit(group)
            self.directory.mark("acknowledged", store.sequence)
            if self._rng.random() < 0.3:
                self.directory.mark("durable", self._catalogue.position)
                store.compact()


class Expected:
    """What the marks of a record say at a moment: what must come back, and what may."""

    def __init__(self) -> None:
        self.history = FrameHistory()
        self.acknowledged = 0
        self.durable = 0
        self.projected = 0

    def advance(self, name: str, value: Any) -> None:
        setattr(self, name, value)


def check(image: Image, expected: Expected, rng: random.Random, directory: Path) -> None:
    """Recovers from what a power cut left, twice: nothing acknowledged is gone, nothing is there that never was."""
    write_image(image, directory)
    position = rng.randint(expected.durable, expected.projected)
    catalogue = CatalogueStub(position, expected.history.rows[position])
    for _ in range(2):
        store = SteppedStore(directory / "data", catalogue, rng, 4_000)
        sequence = store.recover().position.sequence
        store.end()
        assert expected.acknowledged <= sequence < len(expected.history.states)
        assert contents(store.state) == expected.history.states[sequence]
        assert catalogue.rows == expected.history.rows[sequence]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_state_a_power_cut_may_leave_gives_back_all_that_was_acknowledged(
    seed: int, memory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    rng = random.Random(seed)
    root = memory / "recorded"
    root.mkdir()
    recording = Recording(root, rng)
    recording.make(monkeypatch)
    recorded = recording.directory
    model, expected = DiskModel(recorded.base, recorded.base_keys), Expected()
    for moment, operation in enumerate(recorded.trace):
        if operation[0] == "mark":
            expected.advance(*operation[1:])
            continue
        model.advance(operation)
        for cut in range(CUTS_PER_MOMENT):
            directory = memory / f"{moment}-{cut}"
            directory.mkdir()
            image = model.image_after_power_cut(rng)
            try:
                check(image, expected, rng, directory)
            except Exception as error:
                raise AssertionError(f"seed {seed}, after operation {moment}: {operation[:2]}") from error
            shutil.rmtree(directory)
