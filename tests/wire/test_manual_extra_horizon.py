"""The manual's page for people who come from Extra Horizon: what it has one type works, and its tables are true."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.auth.service import SecuredService, secured_service
from support.daemon.process import running_daemon
from support.functions.node_project import installed_project

import taskd
from taskd.api.http.services import SERVED_BASES, VENDOR_BASES
from taskd.config import load_config

pytestmark = pytest.mark.slow

PAGE = (Path(taskd.__file__).parent / "manual" / "extra-horizon.md").read_text()
REQUIRED = '[auth]\nmode = "required"\n'
SHELL = re.compile(r"^<!-- shell -->\n```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SDK = re.compile(r"^<!-- sdk -->\n```js\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"^\| `([A-Z]+ /\S+)` \|", re.MULTILINE)
SERVICE = re.compile(r"^\| [\w, ]+ \| `(/[\w/]+)` \| (.*) \|$", re.MULTILINE)


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path) as secured:
        yield secured


async def run(commands: str, home: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    modules = str(installed_project().modules)
    environment = {**os.environ, "PATH": path, "HOME": str(home), "NODE_PATH": modules}
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", commands),
        cwd=home,
        env=environment | {"NODE_OPTIONS": "--dns-result-order=ipv4first"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(shell.communicate(), 120)
    assert shell.returncode == 0, output.decode()
    return output.decode()


def test_every_command_and_program_is_run_by_a_test() -> None:
    assert PAGE.count("```bash") == len(SHELL.findall(PAGE)) == 3
    assert PAGE.count("```js") == len(SDK.findall(PAGE)) == 1


async def test_the_way_in_works_as_it_is_written(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, REQUIRED) as daemon:
        (tmp_path / "taskd-data").symlink_to(tmp_path / "data")
        host = daemon.url.replace("127.0.0.1", "localhost")
        for block in SHELL.findall(PAGE):
            await run(block.replace("http://localhost:8080", host), tmp_path)
        assert (tmp_path / ".exh" / "credentials").read_text().startswith(f"API_HOST={host}\n")
        (tmp_path / "sdk.cjs").write_text(SDK.findall(PAGE)[0])
        assert "logged in as dev@example.com" in await run("node sdk.cjs", tmp_path)


async def test_a_host_that_the_sdk_would_not_call_is_told(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, REQUIRED):
        (tmp_path / "taskd-data").symlink_to(tmp_path / "data")
        command = "taskd auth app environment local --user local@localhost --host "
        assert "https://api.127.0.0.1:8080" in await run(f"{command}http://127.0.0.1:8080", tmp_path)
        for host in ("http://localhost:8080", "https://api.tasks.example.com"):
            assert "Note:" not in await run(command + host, tmp_path)


def test_the_configuration_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "taskd.toml"
    path.write_text("\n".join(TOML.findall(PAGE)))
    assert load_config(path).server.hosts == ("api.tasks.example.com",)


def test_the_table_of_services_is_that_of_the_router(secured: SecuredService) -> None:
    rows = dict(SERVICE.findall(PAGE))
    assert set(rows) == VENDOR_BASES
    assert {base for base, here in rows.items() if here != "no"} == secured.service.app[SERVED_BASES]


def test_the_table_of_calls_is_that_of_the_router(secured: SecuredService) -> None:
    routes = {
        f"{route.method} {resource.canonical.rstrip('/')}"
        for resource in secured.service.app.router.resources()
        for route in resource
        if route.method != "HEAD" and resource.canonical.startswith(("/auth/v2/", "/users/v1"))
    }
    assert set(CALL.findall(PAGE)) == {route for route in routes if not route.endswith("/health")}
