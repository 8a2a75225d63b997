"""A machine that refuses what a start needs: the daemon says so in a line, ends with 1, and leaves the data alone."""

import asyncio
import errno
import os
import resource
from pathlib import Path

import pytest
from aiohttp import ClientSession
from support.daemon.process import Api, DaemonProcess, running_daemon

from taskd.system.os_limits import StartError, raising_start_errors

CANNOT_START = 1
LIMITED = """
import resource, sys
from taskd.cli import main
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
sys.argv[0] = "taskd"
sys.exit(main())
"""
FROM_THE_LOOP_TO_THE_SANDBOXES = [8, 16, 22, 28]
"""Open files: each limit is met at another step of the start."""
FEW = 256


def limited_daemon(folder: Path, soft: int, hard: int) -> DaemonProcess:
    program = folder / "limited.py"
    program.write_text(LIMITED.format(soft=soft, hard=hard))
    return DaemonProcess(folder, program=(str(program),))


async def refusal(daemon: DaemonProcess) -> str:
    """What a daemon that cannot start says."""
    with pytest.raises(AssertionError):
        await daemon.start()
    async with asyncio.timeout(20):
        assert await daemon.process.wait() == CANNOT_START
    return daemon.log.read_text()


@pytest.mark.parametrize("limit", FROM_THE_LOOP_TO_THE_SANDBOXES)
async def test_too_few_open_files_for_a_start_are_told_in_words(tmp_path: Path, limit: int) -> None:
    said = await refusal(limited_daemon(tmp_path, limit, limit))
    assert said.count("CRITICAL") == 1, said
    assert "Traceback" not in said


async def test_a_start_that_was_refused_loses_nothing(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, ClientSession() as session:
        task = await Api(daemon, session).create("later", startTimestamp="2999-01-01T00:00:00.000Z")
    await refusal(limited_daemon(tmp_path, 28, 28))
    async with running_daemon(tmp_path) as daemon, ClientSession() as session:
        assert await Api(daemon, session).all_tasks() == [task]


async def test_the_soft_limit_of_open_files_is_raised_as_far_as_it_may_be(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    daemon = limited_daemon(tmp_path, FEW, hard)
    await daemon.start()
    limits = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    assert await daemon.stop() == 0
    assert limits[0] > FEW


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EMFILE, "LimitNOFILE="),
        (errno.ENOMEM, "MemoryMax="),
        (errno.EAGAIN, "TasksMax="),
        (errno.EACCES, "permissions"),
        (errno.EIO, "limits"),
    ],
)
def test_each_refusal_says_what_to_do(code: int, advice: str) -> None:
    with pytest.raises(StartError) as caught, raising_start_errors():
        raise OSError(code, os.strerror(code), "/some/where")
    assert os.strerror(code) in str(caught.value)
    assert "/some/where" in str(caught.value)
    assert advice in str(caught.value)
