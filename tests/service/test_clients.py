"""The vendor's published clients against the service as it ships: the SDK's suite, and what `exh` does through it."""

import json
from pathlib import Path

import pytest
from support.auth.sdk_accounts import write_sdk_accounts
from support.functions.node_project import NodeProject, installed_project
from support.service.machine import ACCOUNT, BASE_URL, CONFIG, Machine

from taskd.auth.account_file import read_accounts
from taskd.auth.signing_key import load_key

pytestmark = pytest.mark.boot


@pytest.fixture(scope="session")
def sdk_project() -> NodeProject:
    return installed_project()


@pytest.mark.parametrize("area", ["tasks", "functions", "rql", "schedules", "execute", "api"])
async def test_the_sdk_finds_what_it_expects(
    area: str, service: Machine, sdk_project: NodeProject, tmp_path: Path
) -> None:
    await sdk_project.run(area, BASE_URL, tmp_path, token=service.token, within=service.network)
    assert "Traceback" not in service.log()


@pytest.mark.parametrize("area", ["auth", "cli", "credentials", "users"])
async def test_clients_log_in_and_go_on(
    area: str, service: Machine, sdk_project: NodeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "accounts.json"
    applications = add_applications(service)
    write_clients_accounts(kept, service, applications["service"])
    monkeypatch.setenv("TASKD_TEST_ACCOUNTS", str(kept))
    await sdk_project.run(area, BASE_URL, tmp_path, within=service.network)
    for secret in (applications["service"]["client_secret"], "taskd_access_", "taskd_oauth1_"):
        assert secret not in service.log()


def add_applications(service: Machine) -> dict[str, dict[str, str]]:
    """One of each kind, as ``taskd auth app add`` shows them once, put in force by a reload."""
    kinds = {"cli": ["oauth1"], "web": ["oauth2", "--public"], "service": ["oauth2"]}
    add = ("auth", "app", "add", "--json", "--config", CONFIG, "--kind")
    shown = {name: json.loads(service.taskd(*add, *kind, name)) for name, kind in kinds.items()}
    service.run("systemctl reload taskd")
    return shown


def write_clients_accounts(path: Path, service: Machine, confidential: dict[str, str]) -> None:
    accounts = read_accounts(service.state / "auth.toml")
    named = {application.name: application for application in accounts.applications}
    client = (confidential["client_id"], confidential["client_secret"])
    [user] = [user for user in accounts.users if user.email == ACCOUNT]
    write_sdk_accounts(path, user, named["web"], named["cli"], client, load_key(service.state))
