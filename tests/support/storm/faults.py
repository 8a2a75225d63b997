"""What befalls the daemon of a storm. Each fault strikes, and returns when all ought to be well again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from support.disk.full_disk import fill
from support.storm.clients import a_key
from support.storm.schedule_grid import moment_ms

if TYPE_CHECKING:
    from support.storm.storm import Storm

NOTICED_WITHIN_S = 15
LARGE = "x" * 20_000
WORDS = 3_000
"""Of an error that does not fit into what is left of the journal's last block."""
HOUR_MS = 3_600_000


class Fault(NamedTuple):
    """A kind of fault, and how it strikes."""

    name: str
    strike: Callable[[Storm], Awaitable[None]]
    needs_disk: bool = False
    """Whether it needs a disk of its own."""
    needs_record: bool = False
    """Whether it needs to know all that the daemon ever did to its disk."""

    def can_strike(self, storm: Storm) -> bool:
        return (storm.disk is not None or not self.needs_disk) and (storm.record is not None or not self.needs_record)


async def kill(storm: Storm) -> None:
    """SIGKILL, and a new daemon on the same directory."""
    await storm.daemon.kill()
    await storm.daemon.start()


async def cut_power(storm: Storm) -> None:
    """The daemon is gone at once, and so is some of what it wrote and did not sync."""
    assert storm.record is not None
    await storm.daemon.kill()
    storm.record.cut_power(storm.rng)
    await storm.daemon.start()
    assert "lostHistory" not in await storm.health()


async def terminate(storm: Storm) -> None:
    """SIGTERM: all that runs comes to its end first, or is given up."""
    assert await storm.daemon.stop() == 0
    await storm.daemon.start()


async def freeze(storm: Storm) -> None:
    """For a while the daemon does nothing at all, and time passes."""
    storm.daemon.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(storm.rng.choice([0.3, 1.0]))
    storm.daemon.process.send_signal(signal.SIGCONT)


async def shoot(storm: Storm) -> None:
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
    storm.struck[-1] += f" ({ending})"
    status, witness = await storm.create(data=a_key() | {"ms": 700, "fails": True, "words": WORDS}, priority=9)
    assert status == 200, witness
    await _begun(storm, witness["id"])
    ballast = fill(storm.disk)
    await _refused(storm)
    if ending == "reserve taken":
        fill(storm.disk)
    await _until(storm, lambda health: health["inFlight"] == 0, NOTICED_WITHIN_S)
    await asyncio.sleep(0.2 + storm.rng.random())
    if ending in ("killed", "restarted"):
        await storm.daemon.kill()
    if ending == "restarted":
        await storm.daemon.start()
    freed_ms = storm.clock()
    ballast.unlink()
    if ending == "killed":
        await storm.daemon.start()
    await _healed(storm)
    if ending in ("freed", "reserve taken"):
        found = await storm.ended(witness["id"])
        assert found["error"]["name"] == "Flaky", found
        if ending == "freed":
            assert moment_ms(found, "statusChangedTimestamp") <= freed_ms, f"waited for space to end: {found}"


async def _begun(storm: Storm, task_id: str) -> None:
    async with asyncio.timeout(NOTICED_WITHIN_S):
        while task_id not in storm.ledger.counts():
            await asyncio.sleep(0.02)


async def _refused(storm: Storm) -> None:
    """Creates until that is refused for want of space, and somebody who asks is told why."""
    async with asyncio.timeout(NOTICED_WITHIN_S):
        while (await storm.create(data=a_key() | {"ms": 0, "fails": False, "large": LARGE}))[0] == 200:
            pass
    await _until(storm, lambda health: "full" in health["status"] or "No space" in health["status"], NOTICED_WITHIN_S)


async def _healed(storm: Storm) -> None:
    """Returns when it is as though nothing had been, without any help."""
    await _until(storm, lambda health: health["status"] == "ok", NOTICED_WITHIN_S)
    status, task = await storm.create(data=a_key() | {"ms": 0, "fails": False})
    assert status == 200, task


async def _until(storm: Storm, holds: Callable[[dict[str, Any]], bool], within_s: float) -> None:
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
    Fault("power cut", cut_power, needs_record=True),
    Fault("SIGTERM", terminate),
    Fault("SIGSTOP", freeze),
    Fault("clock set", set_clock),
    Fault("disk full", fill_disk, needs_disk=True),
)
ON_THE_LOCAL_RUNTIME = (Fault("sandbox killed", shoot),)
