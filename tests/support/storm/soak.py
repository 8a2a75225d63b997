"""The long form of the storm, and a search for leaks; ``python -m benchmarks.soak`` runs it."""

import argparse
import asyncio
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from support.storm.aws import aws_storm
from support.storm.faults import descendants
from support.storm.storm import Storm, disk_for, run_storm

SAMPLES = 12
FAULTS_PER_STORM = 16
"""In one storm: each fault twice, at least."""
LEAK_FACTOR = 1.25
"""How much larger the last third of the samples may be than the second."""
SLACK = 8
"""How much larger in absolute numbers it may always be: caches and buffers vary."""


class Sample(NamedTuple):
    """What a daemon holds at a moment."""

    open_files: int
    children: int
    threads: int
    resident_mib: int
    asyncio_tasks: int


def sample(pid: int, metrics: str) -> Sample:
    """What the process holds now; ``metrics`` is what it says of itself."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Sample(
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        len(descendants(pid)),
        int(status["Threads"]),
        int(status["VmRSS"].split()[0]) // 1024,
        asyncio_tasks(metrics),
    )


def asyncio_tasks(metrics: str) -> int:
    """The gauge of that name in the text of ``/metrics``."""
    found = re.search(r"^taskd_asyncio_tasks ([0-9.]+)$", metrics, re.MULTILINE)
    assert found, metrics
    return int(float(found[1]))


def leaks(samples: list[Sample]) -> list[str]:
    """The names of what grew from the second third of the time to the last."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    found = []
    for place, name in enumerate(Sample._fields):
        before, after = max(row[place] for row in middle), max(row[place] for row in last)
        if after > before * LEAK_FACTOR and after > before + SLACK:
            found.append(f"{name}: {before} -> {after}")
    return found


async def run_storms(directory: Path, minutes: float, seed: int) -> None:
    """Storm after storm until the time is over, each with a seed of its own: even ones here, odd ones around Lambda."""
    ends_s = time.monotonic() + minutes * 60
    while time.monotonic() < ends_s:
        folder = directory / f"{seed}"
        folder.mkdir()
        with disk_for(folder) as disk:
            storm = await (run_lambda_storm if seed % 2 else run_local_storm)(folder, seed, disk)
        ended = f"{len(storm.ledger.created)} acknowledged, {len(storm.ledger.ends)} seen to end"
        injected = ", ".join(f"{count} x {name}" for name, count in Counter(storm.injected).items())
        print(f"seed {seed}: {injected}; {ended}, nothing lost, nothing run twice", flush=True)
        seed += 1


async def run_local_storm(directory: Path, seed: int, disk: Path | None) -> Storm:
    """One storm on the local runtime."""
    storm = Storm(directory, seed, disk=disk, recorded=True)
    await run_storm(storm, FAULTS_PER_STORM)
    return storm


async def run_lambda_storm(directory: Path, seed: int, disk: Path | None) -> Storm:
    """One storm on the AWS runtime."""
    async with aws_storm(directory, seed, disk) as storm:
        await run_storm(storm, FAULTS_PER_STORM)
        return storm


async def run_without_faults(directory: Path, minutes: float, seed: int) -> None:
    """One daemon under load, and what it holds from time to time."""
    storm = Storm(directory, seed)
    samples: list[Sample] = []

    async def measure() -> None:
        samples.append(sample(storm.daemon.process.pid, await storm.get_text("/metrics")))
        row = "".join(f"{value:>14,}" for value in samples[-1])
        print(f"{len(storm.ledger.created):>10,}{row}", flush=True)

    print(f"{'created':>10}" + "".join(f"{name:>14}" for name in Sample._fields))
    await storm.run_undisturbed(minutes * 60, measure, minutes * 60 / SAMPLES)
    found = leaks(samples)
    print("leaks: " + ("; ".join(found) or "none"))
    if found:
        raise SystemExit(1)


def main() -> None:
    """Reads the command line and runs one of the two."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--faults", action="store_true", help="inject faults, instead of looking for leaks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="taskd-soak-") as directory:
        print(f"seed {options.seed}")
        run = run_storms if options.faults else run_without_faults
        asyncio.run(run(Path(directory), options.minutes, options.seed))


if __name__ == "__main__":
    main()
