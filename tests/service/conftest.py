"""The service on a booted Debian: installed once, and begun anew for each test."""

import os

import pytest
from support.auth.accounts import PASSWORD
from support.service.machine import ACCOUNT, CONFIG, DATA, SOURCE, TASKD, Machine
from support.service.unit_header import commands

ACCOUNTS = "/root/accounts"


@pytest.fixture(scope="session")
def installed() -> Machine:
    """The service, installed as the first lines of its unit say; `.ci/boot` has run those of pip."""
    machine = Machine(int(os.environ["TASKD_BOOTED"]))
    machine.run(f"cd {SOURCE} && " + " && ".join(install_lines(machine)))
    return machine


def install_lines(machine: Machine, source: str = SOURCE) -> list[str]:
    """The commands of the unit's header that are run in the checkout, but for those of pip."""
    unit = (machine.root / source[1:] / "systemd/taskd.service").read_text()
    lines = commands(unit, "install")
    assert any(line.startswith("python3 -m venv /opt/taskd") for line in lines)
    return [line for line in lines if line.startswith(("install ", "systemctl "))]


@pytest.fixture(scope="session")
def accounts_token(installed: Machine) -> str:
    """An API token of somebody who may do everything; the accounts are kept in :data:`ACCOUNTS`."""
    empty(installed)
    installed.run("systemctl start taskd")
    installed.run(f"{TASKD} auth user add {ACCOUNT} --first-name Ada --config {CONFIG}", given=f"{PASSWORD}\n")
    installed.run(f"{TASKD} auth grant {ACCOUNT} ALL --config {CONFIG}")
    token = installed.run(f"{TASKD} auth token add ci --for {ACCOUNT} --config {CONFIG}").strip()
    installed.run(f"mkdir -p {ACCOUNTS} && cp -a {DATA}/auth.* {ACCOUNTS}/")
    return token


@pytest.fixture
def service(installed: Machine, accounts_token: str) -> Machine:
    """It runs on a data directory with nothing but accounts, and asks who is calling."""
    installed.token = accounts_token
    empty(installed)
    installed.run(f"cp -a {ACCOUNTS}/. {DATA}/")
    installed.run("journalctl --rotate -q && journalctl --vacuum-time=1s -q")
    installed.run("systemctl start taskd")
    return installed


def empty(machine: Machine) -> None:
    """Stops the service and takes away all that it keeps."""
    machine.run("systemctl stop taskd; systemctl reset-failed")
    machine.run(f"rm -rf {DATA}/*")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What removes the service comes last."""
    items.sort(key=lambda item: item.path.name == "test_removal.py")
