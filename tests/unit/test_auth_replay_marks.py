"""A signed request is taken once, whatever becomes of the process, of its clock and of the client's clock."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import own_loop
from support.clocks import FakeClock

from taskd.auth.nonces import WINDOW_S, Nonces
from taskd.auth.replay_marks import AHEAD_MAX, FILE_NAME, LEAD_S, ReplayMarks
from taskd.model import errors
from taskd.model.errors import ContractError


class Processes:
    """One process after the other on the same directory; takes requests as the verifier does."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.directory = directory
        self._begin()

    def _begin(self) -> None:
        self._nonces = Nonces(self.clock)
        self._marks = ReplayMarks(self.directory / FILE_NAME)
        self._marks.start(self.now_s, WINDOW_S)

    @property
    def now_s(self) -> int:
        return self.clock() // 1000

    def restart(self) -> None:
        """Nothing is written at an end, so that a kill is the same."""
        self._marks.close()
        self._begin()

    def takes(self, timestamp_s: int, signer: str = "token", nonce: str = "nonce") -> bool:
        try:
            self._nonces.check_timestamp(timestamp_s)
            self._marks.check(timestamp_s, signer)
            self._nonces.remember(timestamp_s, signer, nonce)
            own_loop.run(self._marks.move(timestamp_s, signer, self.now_s))
        except ContractError as error:
            if error.kind is not errors.REPLAYED:
                raise
            return False
        return True

    def close(self) -> None:
        self._marks.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.close()


@pytest.mark.parametrize("ahead_s", [0, 1, 2, 100, WINDOW_S])
@pytest.mark.parametrize("down_s", [0, 1, 2, 100, WINDOW_S])
def test_a_request_is_not_taken_again_after_a_restart(processes: Processes, ahead_s: int, down_s: int) -> None:
    timestamp_s = processes.now_s + ahead_s
    assert processes.takes(timestamp_s)
    processes.clock.advance(down_s * 1000)
    for _ in range(3):
        processes.restart()
        assert not processes.takes(timestamp_s)


@pytest.mark.parametrize("ahead_s", [0, 100, WINDOW_S - LEAD_S - 1])
def test_a_client_goes_on_a_second_after_a_restart_by_its_own_clock(processes: Processes, ahead_s: int) -> None:
    assert processes.takes(processes.now_s + ahead_s)
    processes.restart()
    processes.clock.advance((LEAD_S + 1) * 1000)
    assert processes.takes(processes.now_s + ahead_s)


def test_a_client_whose_clock_is_ahead_holds_up_no_other(processes: Processes) -> None:
    assert processes.takes(processes.now_s + 200, "ahead")
    processes.restart()
    processes.clock.advance(1000 * (LEAD_S + 1))
    assert processes.takes(processes.now_s, "token")
    assert processes.takes(processes.now_s + 150, "less ahead")
    assert not processes.takes(processes.now_s + 150, "ahead")


@pytest.mark.parametrize("back_s", [1, 60, 86_400])
def test_a_clock_that_is_set_back_while_the_service_is_down_makes_nothing_new(
    processes: Processes, back_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    timestamp_s = processes.now_s
    assert processes.takes(timestamp_s)
    processes.clock.advance(-back_s * 1000)
    processes.restart()
    assert not processes.takes(processes.now_s)
    processes.clock.advance(back_s * 1000)
    assert not processes.takes(timestamp_s)
    processes.clock.advance(1000 * (LEAD_S + 1))
    assert processes.takes(processes.now_s)
    assert (FILE_NAME in caplog.text) == (back_s > WINDOW_S)


def test_a_clock_that_is_set_ahead_and_back_makes_nothing_new_and_stops_nobody(processes: Processes) -> None:
    timestamp_s = processes.now_s
    assert processes.takes(timestamp_s)
    processes.clock.advance(86_400_000)
    assert processes.takes(processes.now_s)
    processes.clock.advance(-86_399_000)
    assert not processes.takes(timestamp_s)
    assert processes.takes(processes.now_s)


def test_few_requests_move_a_mark(processes: Processes) -> None:
    path = processes.directory / FILE_NAME
    written = set()
    for number in range(100):
        assert processes.takes(processes.now_s, f"token {number}")
        assert processes.takes(processes.now_s + 100, "ahead", str(number))
        processes.clock.advance(100)
        written.add(path.read_bytes())
    assert len(written) <= 12


def test_marks_of_clients_ahead_are_bounded_and_make_room_with_time(processes: Processes) -> None:
    now_s = processes.now_s
    for number in range(AHEAD_MAX):
        assert processes.takes(now_s + 100, f"token {number}")
    assert not processes.takes(now_s + 100, "one more")
    assert processes.takes(now_s, "one more")
    assert processes.takes(now_s + 101, "token 5")
    processes.clock.advance((101 + LEAD_S) * 1000)
    assert processes.takes(processes.now_s + 100, "one more")


@pytest.mark.parametrize("damage", [lambda _: b"x" * 100_000, lambda content: bytes(x ^ 1 for x in content)])
def test_a_damaged_file_refuses_whatever_may_have_come_and_heals(
    processes: Processes, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    timestamp_s = processes.now_s + 100
    assert processes.takes(timestamp_s)
    path = processes.directory / FILE_NAME
    path.write_bytes(damage(path.read_bytes()))
    processes.restart()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(path) in caplog.text
    assert not processes.takes(timestamp_s)
    processes.clock.advance((WINDOW_S + 1) * 1000)
    assert processes.takes(processes.now_s)
    processes.restart()
    processes.clock.advance((LEAD_S + 1) * 1000)
    assert processes.takes(processes.now_s)


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "take", "restart", "pass"]), st.integers(-320, 320), st.integers(0, 3)),
    max_size=30,
)


@settings(max_examples=60)
@given(steps=STEPS)
def test_nothing_is_ever_taken_twice(tmp_path_factory: pytest.TempPathFactory, steps: list[Step]) -> None:
    processes = Processes(tmp_path_factory.mktemp("marks"))
    taken: set[tuple[int, str]] = set()
    for action, seconds, signer in steps:
        if action == "restart":
            processes.restart()
        elif action == "pass":  # time, or somebody who sets the clock
            processes.clock.advance(seconds * 1000)
        for request in {(processes.now_s + seconds, f"token {signer}"), *taken} if action == "take" else ():
            if processes.takes(*request):
                assert request not in taken
                taken.add(request)
    processes.close()
