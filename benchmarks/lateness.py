"""How late a due task starts: 200 tasks, each at a moment of its own, on an idle daemon.

What is measured is the first statement of the function, in its own process, against ``startTimestamp``; so it
covers the queue, the journal's sync, the runtime and the way to the sandbox. Run: ``python benchmarks/lateness.py``.
"""

import argparse
import asyncio
import base64
import io
import statistics
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from rich.console import Console
from rich.table import Table

HANDLER = """
import os, time

def handler(task, context):
    now_ns = time.time_ns()
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, f"{task['data'].get('due_ms', 0)} {now_ns}\\n".encode())
    os.close(ledger)
"""
WARM_UP_MS = 3_000
SPACING_MS = 25


def code() -> str:
    """The function, zipped, as base64."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", HANDLER)
    return base64.b64encode(buffer.getvalue()).decode()


async def call(session: ClientSession, method: str, path: str, body: object = None) -> Any:
    """The JSON of a successful answer."""
    async with session.request(method, f"/tasks/v1{path}", json=body) as response:
        response.raise_for_status()
        return await response.json()


async def lateness_ms(folder: Path, tasks: int) -> list[float]:
    """Runs a daemon in ``folder``; gives how late each task's function began, in milliseconds."""
    ledger = folder / "ledger"
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "taskd", "serve", "--data", str(folder / "data"), "--listen", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert daemon.stdout is not None
    url = (await daemon.stdout.readline()).decode().split()[-1]
    try:
        async with ClientSession(url) as session:
            await schedule(session, ledger, tasks)
            while (await call(session, "GET", "?in(status,new,inProgress)&limit(1)"))["page"]["total"]:
                await asyncio.sleep(0.2)
    finally:
        daemon.terminate()
        await daemon.wait()
    entries = [tuple(map(int, line.split())) for line in ledger.read_text().splitlines()]
    return [now_ns / 1e6 - due_ms for due_ms, now_ns in entries if due_ms]


async def schedule(session: ClientSession, ledger: Path, tasks: int) -> None:
    """Deploys the function, warms its sandbox, and creates the tasks ahead of their time."""
    function = {"name": "clock", "runtime": "python3.11", "entryPoint": "index.handler", "code": code()}
    await call(session, "POST", "/functions", {**function, "environmentVariables": {"LEDGER": {"value": str(ledger)}}})
    await call(session, "POST", "", {"functionName": "clock"})
    first_ms = int(time.time() * 1000) + WARM_UP_MS
    for number in range(tasks):
        due_ms = first_ms + number * SPACING_MS
        body = {"functionName": "clock", "startTimestamp": due_ms, "data": {"due_ms": due_ms}}
        await call(session, "POST", "", body)


def main() -> None:
    """Prints the distribution."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        late = sorted(asyncio.run(lateness_ms(Path(folder), arguments.tasks)))
    table = Table(title=f"Lateness of {len(late)} tasks on an idle daemon, local runtime (ms)")
    for name in ("p50", "p90", "p99", "max"):
        table.add_column(name, justify="right")
    cuts = statistics.quantiles(late, n=100, method="inclusive")
    table.add_row(*(f"{value:.1f}" for value in (cuts[49], cuts[89], cuts[98], late[-1])))
    Console().print(table)


if __name__ == "__main__":
    main()
