"""The published JavaScript SDK, unmodified, as the judge: every method of ``exh.tasks``, on a live daemon."""

from pathlib import Path

import pytest
from support.daemon.process import running_daemon
from support.functions.node_project import NodeProject, installed_project


@pytest.fixture(scope="session")
def sdk_project() -> NodeProject:
    return installed_project()


@pytest.mark.parametrize("area", ["tasks", "functions", "rql", "schedules", "execute", "api", "errors", "events"])
async def test_the_sdk_finds_what_it_expects(area: str, sdk_project: NodeProject, tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon:
        await sdk_project.run(area, daemon.url, tmp_path)


async def test_the_sdk_finds_all_where_pages_are_shorter_than_it_asked_for(
    sdk_project: NodeProject, tmp_path: Path
) -> None:
    async with running_daemon(tmp_path, "[server]\npage_max_bytes = 1048576\n") as daemon:
        await sdk_project.run("pages", daemon.url, tmp_path)
