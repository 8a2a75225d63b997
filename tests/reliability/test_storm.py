"""A storm of faults on a real daemon with real clients and functions; see ``support.storm.storm`` for what is asserted.

``TASKD_STORM_FAULTS=<n>`` and ``TASKD_STORM_SEED=<n>`` make it longer, and another; a long one is marked as slow.
"""

import os
from pathlib import Path

import pytest
from support.storm.storm import Storm, disk_for, run_storm

FAULTS = int(os.environ.get("TASKD_STORM_FAULTS", "8"))
"""Each once."""
LONG_FAULTS = 24
SEED = int(os.environ.get("TASKD_STORM_SEED", "1"))


async def test_a_storm_loses_nothing_and_runs_nothing_twice(tmp_path: Path) -> None:
    with disk_for(tmp_path) as disk:
        await run_storm(Storm(tmp_path, SEED, disk=disk, recorded=True), FAULTS)


@pytest.mark.slow
async def test_a_long_storm_loses_nothing_and_runs_nothing_twice(tmp_path: Path) -> None:
    with disk_for(tmp_path) as disk:
        await run_storm(Storm(tmp_path, SEED + 1, disk=disk, recorded=True), LONG_FAULTS)
