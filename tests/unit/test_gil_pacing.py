"""The pauses of a thread that computes for long."""

import pytest

from taskd.store.embedded import gil_pacing
from taskd.store.embedded.gil_pacing import PAUSE_S, WORK_S, GilPacer


class FakeTime:
    """A time that passes only when it is set, or slept away."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def perf_counter(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


def test_pauses_come_after_as_much_work_as_may_be_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    time = FakeTime()
    monkeypatch.setattr(gil_pacing, "time", time)
    pace = GilPacer()
    pauses = []
    for _ in range(8):
        time.now_s += WORK_S * 0.4
        pace()
        pauses.append(len(time.slept_s))
    assert pauses == [0, 0, 1, 1, 1, 2, 2, 2]
    assert set(time.slept_s) == {PAUSE_S}
