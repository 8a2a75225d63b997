"""A storm of faults on a real daemon with real clients and functions; see ``support.storm`` for what is asserted.

``TASKD_STORM_STRIKES=<n>`` and ``TASKD_STORM_SEED=<n>`` make it longer, and another.
"""

import os
from pathlib import Path

from support.storm import Storm

STRIKES = int(os.environ.get("TASKD_STORM_STRIKES", "4"))
SEED = int(os.environ.get("TASKD_STORM_SEED", "1"))


async def test_kills_stops_and_lost_sandboxes_lose_nothing_and_run_nothing_twice(tmp_path: Path) -> None:
    storm = Storm(tmp_path, SEED)
    try:
        await storm.run(STRIKES)
    except BaseException as error:
        error.add_note(f"seed {SEED}, after {dict(storm.struck)}; the daemon said:\n{storm.daemon.log.read_text()}")
        raise
    finally:
        if storm.daemon.process.returncode is None:
            await storm.daemon.kill()
