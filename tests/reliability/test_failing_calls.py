"""Every system call of the journal fails once, with every error that a disk or a limit gives.

Whatever fails: nothing acknowledged is lost, nothing refused comes back, and either work goes on afterwards or the
process has ended and the next one goes on.
"""

import errno
import logging
import random
import shutil
from pathlib import Path

import pytest
from support.disk.failing_calls import FailingCalls
from support.power_cut.stepped_store import History, Life, Shelf, contents

from taskd.system.files import SyncFailedError

CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE, errno.ENOMEM)
SYNCS = ("fsync", "fdatasync")
SEED = 7


class Work:
    """Two processes, one after the other, on a journal of tiny segments; the first may be hit by a failure."""

    def __init__(self, data: Path, calls: FailingCalls, monkeypatch: pytest.MonkeyPatch) -> None:
        self.history = History()
        self.acknowledged = 0
        self.decided = 0
        self.refusals = 0
        self.ended_by: BaseException | None = None
        self._calls = calls
        self._monkeypatch = monkeypatch
        self._data = data
        self._rng = random.Random(SEED)
        self._shelf = Shelf()

    def first_life(self) -> None:
        life = Life(self._data, self._shelf, self._rng, segment_bytes=500)
        try:
            with self._calls.active(self._monkeypatch):
                life.recover()
                for number in range(10):
                    self._commit(life)
                    if number % 4 == 3:
                        self._compact(life)
        except (OSError, SyncFailedError) as error:
            self.ended_by = error
        life.end()

    def second_life(self) -> None:
        life = Life(self._data, self._shelf, self._rng, segment_bytes=500)
        sequence = life.recover().position.sequence
        assert self.acknowledged <= sequence <= self.decided
        assert contents(life.state) == self.history.states[sequence]
        assert self._shelf.rows == self.history.rows[sequence]
        self.history = self.history.until(sequence)
        self._commit(life)
        assert self.acknowledged > sequence
        life.end()

    def _commit(self, life: Life) -> None:
        group = life.next_group()
        before = self.history
        self.history = before.until(life.sequence)
        self.history.extend(group)
        self.decided = life.sequence + len(group)
        try:
            life.commit(group)
        except OSError:
            if life.groups.error is None:
                raise
            self.refusals += 1
            self.history = before
            self.decided = life.sequence
        else:
            self.acknowledged = life.sequence

    def _compact(self, life: Life) -> None:
        try:
            life.compact()
        except OSError:
            self.refusals += 1


def test_any_call_may_fail_once(
    memory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    counting = FailingCalls(memory)
    undisturbed = Work(memory / "data", counting, monkeypatch)
    undisturbed.first_life()
    assert undisturbed.ended_by is None
    assert undisturbed.refusals == 0
    for code in CODES:
        for fail_at in range(counting.count):
            shutil.rmtree(memory / "data")
            calls = FailingCalls(memory, fail_at, code)
            work = Work(memory / "data", calls, monkeypatch)
            try:
                work.first_life()
                work.second_life()
            except Exception as error:
                raise AssertionError(f"{errno.errorcode[code]} at call {fail_at} ({calls.failed})") from error
