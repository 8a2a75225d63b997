"""The examples that come with taskd: each can be deployed as it is, and does what it says."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.functions.local_runtime import LocalRuntimeHarness, local_harness, messages, success_of

import taskd
from taskd.cli.packaging import package
from taskd.runtime.base import FunctionError

EXAMPLES = Path(taskd.__file__).parent / "examples"


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path) as harness:
        yield harness


async def deploy(harness: LocalRuntimeHarness, name: str) -> None:
    packed = package(EXAMPLES / name)
    assert packed.descriptor.name == name
    await harness.deploy(
        packed.code, name=name, runtime=packed.descriptor.runtime, entry_point=packed.descriptor.entry_point
    )


def task(data: object) -> dict[str, object]:
    return {"id": "5f00000000000000000000aa", "status": "inProgress", "data": data, "priority": 0}


async def test_hello_python_scores_measurements(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, "hello-python")
    result = success_of(await harness.call(task({"heartRate": 130, "oxygenSaturation": 97}), "hello-python"))
    assert json.loads(result.payload) == {"risk": "medium", "score": 1, "reasons": ["heart rate"]}
    assert "  heart rate: 130 is outside 50 to 100" in messages(result)
    assert "  temperature: not measured" in messages(result)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
async def test_hello_node_sums_up_readings(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, "hello-node")
    result = success_of(await harness.call(task({"readings": [1, 2, 6]}), "hello-node"))
    assert json.loads(result.payload) == {"count": 3, "lowest": 1, "highest": 6, "average": 3}
    assert [message.split("\t")[3] for message in messages(result)[1:4]] == [
        "       1 #",
        "       2 #######",
        "       6 " + "#" * 30,
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
async def test_hello_node_says_what_it_needs(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, "hello-node")
    result = await harness.call(task({}), "hello-node")
    assert isinstance(result, FunctionError)
    assert (result.name, "data.readings" in result.message) == ("RangeError", True)


def test_every_example_has_a_descriptor() -> None:
    folders = [folder for folder in EXAMPLES.iterdir() if folder.is_dir() and folder.name != "__pycache__"]
    assert {folder.name for folder in folders} >= {"hello-python", "hello-node"}
    assert all((folder / "function.json").is_file() for folder in folders)
