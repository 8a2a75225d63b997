"""The front door opens: every command of the README is run, here or by the gate."""

import asyncio
import os
import re
import socket
import sys
from pathlib import Path

import pytest
from support.daemon.process import READY
from support.functions.node_project import installed_project

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^<!-- (?P<kind>[\w -]+) -->\n```bash\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)
SDK_BLOCK = re.compile(r"^<!-- sdk -->\n```js\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BY_THE_GATE = {"run", "test"}


def blocks(kind: str) -> list[str]:
    return [match["commands"] for match in BLOCK.finditer(README) if match["kind"] == kind]


def environment(url: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    modules = str(installed_project().modules)
    return {**os.environ, "PATH": path, "TASKD_URL": url, "PYTHONPATH": str(ROOT), "NODE_PATH": modules}


async def run(commands: str, folder: Path, url: str) -> str:
    """Runs commands as a reader would, one after the other; gives what they print."""
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", commands),
        cwd=folder,
        env=environment(url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(shell.communicate(), 120)
    assert shell.returncode == 0, output.decode()
    return output.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_command_is_run_by_somebody() -> None:
    kinds = {match["kind"] for match in BLOCK.finditer(README)}
    assert kinds == {"run", "test", "serve", "shell", "benchmark"}
    assert README.count("```bash") == len(list(BLOCK.finditer(README)))
    assert README.count("```js\n") == len(SDK_BLOCK.findall(README)) == 1
    gate = (ROOT / ".ci" / "run").read_text()
    assert all(len(blocks(kind)) == 1 and f"readme_block {kind}" in gate for kind in BY_THE_GATE)


async def test_the_walk_through_works_as_it_is_written(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://localhost:{port}"
    [serve] = blocks("serve")
    daemon = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"exec {serve.strip()} --listen 127.0.0.1:{port}"),
        cwd=tmp_path,
        env=environment(url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert daemon.stdout is not None
        assert (await daemon.stdout.readline()).decode().startswith(READY)
        outputs = [
            await run(block.replace("127.0.0.1:8080/", f"127.0.0.1:{port}/"), tmp_path, url)
            for block in blocks("shell")
        ]
        (tmp_path / "sdk.cjs").write_text(SDK_BLOCK.findall(README)[0].replace("localhost:8080", f"localhost:{port}"))
        outputs.append(await run("node sdk.cjs", tmp_path, url))
    finally:
        daemon.terminate()
        assert await daemon.wait() == 0
    told = "\n".join(outputs)
    assert '"entryPoint":"index.handler"' in told
    assert '"priority":5' in told
    assert "greeting Grace" in told
    assert "complete" in told
    assert re.search("^created [0-9a-f]{24}$", told, re.MULTILINE)


@pytest.mark.parametrize("command", [line for block in blocks("benchmark") for line in block.splitlines()])
async def test_a_benchmark_of_the_readme_is_there(command: str) -> None:
    """Another test runs every benchmark, in a small size."""
    assert "Usage: python -m benchmarks" in await run(f"{command} --help", ROOT, "")


def test_what_the_readme_points_at_is_there() -> None:
    for target in re.findall(r"\]\(([^)#][^)]*)\)", README):
        assert (ROOT / target).exists(), target


def test_every_test_that_the_readme_names_is_there() -> None:
    files = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"tests/[\w/]+\.py", README)) <= set(files)
    named = re.findall(r"`(test_\w+)`", README)
    missing = [name for name in named if not any(f"def {name}(" in text for text in files.values())]
    assert named
    assert not missing


def test_whoever_may_try_something_has_a_row_with_a_test() -> None:
    [table] = re.findall(r"^\| who \| tries \|.*\n\|[-|]+\|\n((?:\|.*\|\n)+)", README, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert {who for who, *_ in rows if who} == {
        *("web page", "local user", "network, not logged in", "caller with one permission", "function", "proxy"),
    }
    assert all("`test_" in tests for *_, tests in rows)
