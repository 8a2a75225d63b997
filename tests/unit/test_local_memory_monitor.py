import asyncio
import sys

from taskd.runtime.local.memory_monitor import groups_over_limit

MIB = 1024 * 1024
HOLDS_60_MIB_THREE_TIMES = r"""
import os
memory = bytearray(os.urandom(1)) * (60 << 20)
for _ in range(2):
    if os.fork() == 0:
        break
os.write(1, b"ready\n")
input()
"""


async def test_memory_shared_by_the_processes_of_a_group_counts_once() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDS_60_MIB_THREE_TIMES, stdin=pipe, stdout=pipe, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(3):
        assert await process.stdout.readline() == b"ready\n"
    group = process.pid
    assert groups_over_limit({group: 50 * MIB}) == {group}
    assert groups_over_limit({group: 120 * MIB}) == set()
    process.stdin.close()
    await process.communicate()


def test_a_group_that_is_gone_is_not_over_its_limit() -> None:
    assert groups_over_limit({2**22 + 1: 0}) == set()
