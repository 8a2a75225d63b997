"""A storm of faults with Lambda on the other side; see ``support.storm.aws`` for those of the endpoint.

``TASKD_STORM_FAULTS=<n>`` and ``TASKD_STORM_SEED=<n>`` make it longer, and another.
"""

import os
from pathlib import Path

import pytest
from support.storm.aws import aws_storm
from support.storm.storm import disk_for, run_storm

pytestmark = pytest.mark.slow


FAULTS = int(os.environ.get("TASKD_STORM_FAULTS", "10"))
SEED = int(os.environ.get("TASKD_STORM_SEED", "1"))


async def test_a_storm_around_lambda_loses_nothing_and_runs_nothing_twice(tmp_path: Path) -> None:
    with disk_for(tmp_path) as disk:
        async with aws_storm(tmp_path, SEED, disk) as storm:
            await run_storm(storm, FAULTS)
