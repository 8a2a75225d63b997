"""Functions that turn on the channel of their sandbox: they harm their own call, and no other."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.functions.local_runtime import LocalRuntimeHarness, eventually, failure_of, local_harness, open_descriptors
from support.functions.zips import node_zip

from taskd.runtime.base import FunctionError, Success

PRELUDE = """
    import os, struct
    def say(kind, body=b"", request_id=b"0" * 36, length=None):
        head = struct.pack(">BI36s", kind, len(body) if length is None else length, request_id)
        os.write(10, head + body)
    """
QUICK = "def handler(event, context): return event"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path / "functions", max_sandboxes=2) as harness:
        await harness.deploy_python(QUICK, name="quick")
        yield harness


@pytest.mark.parametrize(
    "statement",
    [
        "os.write(10, b'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' * 9)",
        "os.write(10, b'\\xff' * 1000)",
        "say(9)",
        "say(2, b'1')",
        "say(2, b'1', b'\\xff' * 36)",
        "say(3, b'{}')",
        "say(1)",
        "say(5, b'{}')",
        "os.close(10)",
        "say(2, b'', length=5)",
        "os.read(10, 1)",
    ],
)
async def test_a_function_that_garbles_its_channel_fails_and_the_next_call_runs(
    harness: LocalRuntimeHarness, statement: str
) -> None:
    source = f"{PRELUDE}\n    def handler(event, context):\n        if event: {statement}\n        return 'fine'"
    await harness.deploy_python(source, time_limit_s=3)
    failure = failure_of(await harness.call(1))
    assert isinstance(failure, FunctionError)
    assert await harness.value("other", "quick") == "other"
    assert await harness.value(0) == "fine"


async def test_an_answer_given_ahead_of_time_costs_the_function_alone(harness: LocalRuntimeHarness) -> None:
    source = f"{PRELUDE}\n    def handler(event, context):\n        say(2, b'1', context.aws_request_id.encode())\n"
    await harness.deploy_python(source)
    assert await harness.value() == 1
    for _ in range(3):  # its program is thought to be ready, and ends when it answers again
        assert isinstance(await harness.call(), Success | FunctionError)
        assert await harness.value("other", "quick") == "other"


async def test_nothing_of_a_channel_is_left_when_its_sandbox_has_ended(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", max_sandboxes=1) as harness:
        await harness.deploy_python(QUICK)
        await harness.value()
        before = open_descriptors()
        for _ in range(5):
            await harness.deploy_python("import os\ndef handler(event, context): os._exit(1)")
            assert isinstance(await harness.call(), FunctionError)
        await harness.deploy_python(QUICK)
        await harness.value()
        await eventually(lambda: open_descriptors() <= before)


async def test_a_program_that_a_node_function_starts_does_not_inherit_the_channel(harness: LocalRuntimeHarness) -> None:
    source = f"""
        const {{ spawnSync }} = require('node:child_process');
        const probe = ['-c', 'import os; os.fstat(10)'];
        exports.handler = async () => spawnSync('{sys.executable}', probe).stderr.toString();
        """
    await harness.deploy(node_zip(source), runtime="nodejs20.x")
    assert "Bad file descriptor" in await harness.value()
