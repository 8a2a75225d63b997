"""The service on a booted Debian: installed once, and begun anew for each test."""

import os

import pytest
from support.service.machine import CONFIG, DATA, SOURCE, TASKD, Machine

ACCOUNT = "ada@example.com"


@pytest.fixture(scope="session")
def installed() -> Machine:
    """The service, installed as the first lines of its unit say."""
    machine = Machine(int(os.environ["TASKD_BOOTED"]))
    machine.run(f"cd {SOURCE} && " + " && ".join(install_lines(machine)))
    return machine


def install_lines(machine: Machine) -> list[str]:
    """The commands of the unit's header that are run in the checkout, but for the one that `.ci/boot` has run."""
    header = (machine.root / f"{SOURCE[1:]}/systemd/taskd.service").read_text().partition("[Unit]")[0]
    commands = [line.removeprefix("#   ") for line in header.splitlines() if line.startswith("#   ")]
    assert any(command.startswith("python3 -m venv /opt/taskd") for command in commands)
    return [command for command in commands if command.startswith(("install ", "systemctl "))]


@pytest.fixture
def service(installed: Machine) -> Machine:
    """It runs on an empty data directory, and asks who is calling: somebody who may do everything."""
    installed.token = None
    installed.run("systemctl stop taskd; systemctl reset-failed")
    installed.run(f"rm -rf {DATA}/* && journalctl --rotate -q && journalctl --vacuum-time=1s -q")
    installed.run("systemctl start taskd")
    installed.run(f"{TASKD} auth user add {ACCOUNT} --config {CONFIG}", given="correct horse battery\n")
    installed.run(f"{TASKD} auth grant {ACCOUNT} ALL --config {CONFIG}")
    installed.token = installed.run(f"{TASKD} auth token add ci --for {ACCOUNT} --config {CONFIG}").strip()
    installed.run("systemctl reload taskd")
    return installed
