"""The faults that a storm injects into a daemon. Each returns when all ought to be well again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from support.disk.full_disk import fill
from support.storm.clients import unique_key
from support.storm.schedule_grid import moment_ms

if TYPE_CHECKING:
    from support.storm.storm import Storm

DETECTION_TIMEOUT_S = 15
LARGE = "x" * 20_000
WORDS = 3_000
"""Of an error that does not fit into what is left of the journal's last block."""
HOUR_MS = 3_600_000


class Fault(NamedTuple):
    """A kind of fault, and how it is injected."""

    name: str
    inject: Callable[[Storm], Awaitable[None]]
    needs_disk: bool = False
    """Whether it needs a disk of its own."""
    needs_recorded_disk: bool = False
    """Whether it needs to know all that the daemon ever did to its disk."""

    def is_possible(self, storm: Storm) -> bool:
        return (storm.disk is not None or not self.needs_disk) and (
            storm.recorded_disk is not None or not self.needs_recorded_disk
        )


async def kill(storm: Storm) -> None:
    """SIGKILL, and a new daemon on the same directory."""
    await storm.daemon.kill()
    await storm.daemon.start()


async def cut_power(storm: Storm) -> None:
    """The daemon is gone at once, and so is some of what it wrote and did not sync."""
    assert storm.recorded_disk is not None
    await storm.daemon.kill()
    storm.recorded_disk.cut_power(storm.rng)
    await storm.daemon.start()
    assert "lostHistory" not in await storm.health()


async def terminate(storm: Storm) -> None:
    """SIGTERM: all that runs comes to its end first, or is given up."""
    assert await storm.daemon.stop() == 0
    await storm.daemon.start()


async def pause(storm: Storm) -> None:
    """For a while the daemon does nothing at all, and time passes."""
    storm.daemon.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(storm.rng.choice([0.3, 1.0]))
    storm.daemon.process.send_signal(signal.SIGCONT)


async def pause_everything(storm: Storm) -> None:
    """Whoever maintains something has nothing started for a while, and meanwhile the daemon may be killed."""
    await storm.call_own("POST", "/pause", {"reason": "maintenance"})
    await storm.wait_until_idle()
    began = storm.run_log.counts()
    await asyncio.sleep(0.2)
    if storm.rng.random() < 0.5:
        await kill(storm)
        await asyncio.sleep(0.2)
    assert storm.run_log.counts() == began, "something began although everything was paused"
    assert (await storm.call_own("GET", "/pause"))["paused"]
    await storm.call_own("POST", "/resume")


async def kill_sandbox(storm: Storm) -> None:
    """Kills a process that runs functions."""
    sandboxes = [pid for pid in descendants(storm.daemon.process.pid) if "awslambdaric" in command_line(pid)]
    for pid in sandboxes[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def set_clock(storm: Storm) -> None:
    """The daemon's clock is set ahead and back, or back and ahead, by seconds or an hour each."""
    jumps_ms = [storm.rng.choice([1_500, HOUR_MS]), -storm.rng.choice([1_500, HOUR_MS])]
    storm.rng.shuffle(jumps_ms)
    for jump_ms in jumps_ms:
        storm.clock.jump(jump_ms)
        await asyncio.sleep(0.5)
    if sum(jumps_ms) < 0:  # schedules wait now until they have caught up: others show whether all is well
        await storm.add_schedules()


async def fill_disk(storm: Storm) -> None:
    """Not a byte is left for a while: nothing new is accepted, and what runs comes to its end, on the disk too.

    Unless the space that the daemon had set aside for that is taken as well: then it ends when there is room again.
    """
    assert storm.disk is not None
    ending = storm.rng.choice(["freed", "reserve taken", "killed", "restarted"])
    storm.injected[-1] += f" ({ending})"
    status, task = await storm.create(data=unique_key() | {"ms": 700, "fails": True, "words": WORDS}, priority=9)
    assert status == 200, task
    await _wait_until_running(storm, task["id"])
    filler = fill(storm.disk)
    await _wait_until_refused(storm)
    if ending == "reserve taken":
        fill(storm.disk)
    await _wait_for_health(storm, lambda health: health["inFlight"] == 0, DETECTION_TIMEOUT_S)
    await asyncio.sleep(0.2 + storm.rng.random())
    if ending in ("killed", "restarted"):
        await storm.daemon.kill()
    if ending == "restarted":
        await storm.daemon.start()
    freed_ms = storm.clock()
    filler.unlink()
    if ending == "killed":
        await storm.daemon.start()
    await _wait_until_recovered(storm)
    if ending in ("freed", "reserve taken"):
        found = await storm.ended(task["id"])
        assert found["error"]["name"] == "Flaky", found
        if ending == "freed":
            assert moment_ms(found, "statusChangedTimestamp") <= freed_ms, f"waited for space to end: {found}"


async def _wait_until_running(storm: Storm, task_id: str) -> None:
    async with asyncio.timeout(DETECTION_TIMEOUT_S):
        while task_id not in storm.run_log.counts():
            await asyncio.sleep(0.02)


async def _wait_until_refused(storm: Storm) -> None:
    """Creates until that is refused for want of space, and somebody who asks is told why."""
    async with asyncio.timeout(DETECTION_TIMEOUT_S):
        while (await storm.create(data=unique_key() | {"ms": 0, "fails": False, "large": LARGE}))[0] == 200:
            pass
    await _wait_for_health(
        storm, lambda health: "full" in health["status"] or "No space" in health["status"], DETECTION_TIMEOUT_S
    )


async def _wait_until_recovered(storm: Storm) -> None:
    """Returns when it is as though nothing had been, without any help."""
    await _wait_for_health(storm, lambda health: health["status"] == "ok", DETECTION_TIMEOUT_S)
    status, task = await storm.create(data=unique_key() | {"ms": 0, "fails": False})
    assert status == 200, task


async def _wait_for_health(storm: Storm, holds: Callable[[dict[str, Any]], bool], within_s: float) -> None:
    health: dict[str, Any] = {}
    try:
        async with asyncio.timeout(within_s):
            while not holds(health := await storm.health()):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"after {within_s} s the daemon still says {health}") from None


def command_line(pid: int) -> str:
    """What a process was started as; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Every process below ``pid``."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]


ON_ANY_RUNTIME = (
    Fault("SIGKILL", kill),
    Fault("power cut", cut_power, needs_recorded_disk=True),
    Fault("SIGTERM", terminate),
    Fault("SIGSTOP", pause),
    Fault("everything paused", pause_everything),
    Fault("clock set", set_clock),
    Fault("disk full", fill_disk, needs_disk=True),
)
ON_THE_LOCAL_RUNTIME = (Fault("sandbox killed", kill_sandbox),)
