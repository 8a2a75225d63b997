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
from support.power_cut.stepped_store import CatalogueStub, FrameHistory, SteppedStore, contents

from taskd.system.files import SyncFailedError

CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EMFILE, errno.ENOMEM)
SYNCS = ("fsync", "fdatasync")
SEED = 7


class ProcessPair:
    """Two processes, one after the other, on a journal of tiny segments; a call of the first may fail."""

    def __init__(self, data: Path, calls: FailingCalls, monkeypatch: pytest.MonkeyPatch) -> None:
        self.history = FrameHistory()
        self.acknowledged = 0
        self.decided = 0
        self.refusals = 0
        self.ended_by: BaseException | None = None
        self._calls = calls
        self._monkeypatch = monkeypatch
        self._data = data
        self._rng = random.Random(SEED)
        self._catalogue = CatalogueStub()

    def run_first(self) -> None:
        store = SteppedStore(self._data, self._catalogue, self._rng, segment_bytes=500)
        try:
            with self._calls.active(self._monkeypatch):
                store.recover()
                for number in range(10):
                    self._commit(store)
                    if number % 4 == 3:
                        self._compact(store)
        except (OSError, SyncFailedError) as error:
            self.ended_by = error
        store.end()

    def run_second(self) -> None:
        store = SteppedStore(self._data, self._catalogue, self._rng, segment_bytes=500)
        sequence = store.recover().position.sequence
        assert self.acknowledged <= sequence <= self.decided
        assert contents(store.state) == self.history.states[sequence]
        assert self._catalogue.rows == self.history.rows[sequence]
        self.history = self.history.until(sequence)
        self._commit(store)
        assert self.acknowledged > sequence
        store.end()

    def _commit(self, store: SteppedStore) -> None:
        group = store.next_group()
        before = self.history
        self.history = before.until(store.sequence)
        self.history.extend(group)
        self.decided = store.sequence + len(group)
        try:
            store.commit(group)
        except OSError:
            if store.listener.error is None:
                raise
            self.refusals += 1
            self.history = before
            self.decided = store.sequence
        else:
            self.acknowledged = store.sequence

    def _compact(self, store: SteppedStore) -> None:
        try:
            store.compact()
        except OSError:
            self.refusals += 1


def test_any_call_may_fail_once(
    memory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    counting = FailingCalls(memory)
    undisturbed = ProcessPair(memory / "data", counting, monkeypatch)
    undisturbed.run_first()
    assert undisturbed.ended_by is None
    assert undisturbed.refusals == 0
    for code in CODES:
        for fail_at in range(counting.count):
            shutil.rmtree(memory / "data")
            calls = FailingCalls(memory, fail_at, code)
            processes = ProcessPair(memory / "data", calls, monkeypatch)
            try:
                processes.run_first()
                processes.run_second()
            except Exception as error:
                raise AssertionError(f"{errno.errorcode[code]} at call {fail_at} ({calls.failed})") from error
