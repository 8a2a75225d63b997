"""Power cuts: from every state that a disk may be left in, the journal comes back with all that was acknowledged.

Lives of a journal are recorded at the boundary to the operating system, kills between them included. For moments all
through the record the disk is rebuilt as a power cut could have left it, and recovered from. A failure names its
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
from support.power_cut.disk_model import Image, Platter, lay_out
from support.power_cut.recorded_directory import Disk, Killed
from support.power_cut.stepped_store import History, Life, Shelf, contents

SEEDS = int(os.environ.get("TASKD_POWER_SEEDS", "4"))
CUTS_PER_MOMENT = 3
GROUPS_PER_LIFE = 12
LIVES = 3


class Recording:
    """Some lives on one disk, each but the last killed at a random operation."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.disk = Disk(root, rng)
        self.disk.short_writes = True
        self._data = root / "data"
        self._rng = rng
        self._segment_bytes = rng.choice([0, 700, 4_000])
        self._shelf = Shelf(disk=self.disk)
        self._history = History()

    def make(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(LIVES):
            die_within = self._rng.randrange(5, 120)
            self.disk.kill_at = len(self.disk.trace) + die_within if number < LIVES - 1 else None
            life = Life(self._data, self._shelf, self._rng, self._segment_bytes)
            with suppress(Killed), self.disk.recording(monkeypatch):
                self._live(life)
            life.end()

    def _live(self, life: Life) -> None:
        """Recovers, works for a while, and marks in the record what may be relied on from then on."""
        sequence = life.recover().position.sequence
        self._history = self._history.until(sequence)
        assert contents(life.state) == self._history.states[-1]
        self.disk.mark("acknowledged", sequence)
        for _ in range(GROUPS_PER_LIFE):
            group = life.next_group()
            self._history = self._history.until(life.sequence)
            self._history.extend(group)
            self.disk.mark("history", self._history)
            life.commit(group)
            self.disk.mark("acknowledged", life.sequence)
            if self._rng.random() < 0.3:
                self.disk.mark("durable", self._shelf.position)
                life.compact()


class Known:
    """What the marks of a record say at a moment: what must come back, and what may."""

    def __init__(self) -> None:
        self.history = History()
        self.acknowledged = 0
        self.durable = 0
        self.handed = 0

    def advance(self, name: str, value: Any) -> None:
        setattr(self, name, value)


def check(image: Image, known: Known, rng: random.Random, directory: Path) -> None:
    """Recovers from what a power cut left, twice: nothing acknowledged is gone, nothing is there that never was."""
    lay_out(image, directory)
    position = rng.randint(known.durable, known.handed)
    shelf = Shelf(position, known.history.rows[position])
    for _ in range(2):
        life = Life(directory / "data", shelf, rng, 4_000)
        sequence = life.recover().position.sequence
        life.end()
        assert known.acknowledged <= sequence < len(known.history.states)
        assert contents(life.state) == known.history.states[sequence]
        assert shelf.rows == known.history.rows[sequence]


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
    disk = recording.disk
    platter, known = Platter(disk.base, disk.base_keys), Known()
    for moment, operation in enumerate(disk.trace):
        if operation[0] == "mark":
            known.advance(*operation[1:])
            continue
        platter.advance(operation)
        for cut in range(CUTS_PER_MOMENT):
            directory = memory / f"{moment}-{cut}"
            directory.mkdir()
            image = platter.after_power_cut(rng)
            try:
                check(image, known, rng, directory)
            except Exception as error:
                raise AssertionError(f"seed {seed}, after operation {moment}: {operation[:2]}") from error
            shutil.rmtree(directory)
