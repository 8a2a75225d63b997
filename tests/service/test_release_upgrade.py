"""From the release before to this one and back, as the unit's first lines and the changelog say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.auth.accounts import PASSWORD
from support.service.machine import ACCOUNT, DATA, SOURCE, TASKD, Machine
from support.service.unit_header import commands
from support.service.work import FAR_FUTURE, SLEEPS, create, deploy, status, wait_for

pytestmark = pytest.mark.boot

BEFORE = f"{SOURCE}-before"
"""Where `.ci/boot` puts the release before."""
PIP = "/opt/taskd/bin/pip install -q --no-deps --no-build-isolation ."
"""The release before with the libraries of this one: it names no versions of its own."""
SEEN = ("/tasks/v1?limit(100)", "/tasks/v1/functions", "/tasks/v1/functions/f", "/tasks/v1/schedules", "/users/v1/me")


class Upgraded(NamedTuple):
    """The service after the upgrade, and what was there before."""

    service: Machine
    seen: dict[str, Any]
    """What the release before answered, by path."""
    waiting: str
    complete: str
    running: str
    """It ran when the upgrade began."""


def install(machine: Machine, source: str) -> None:
    """Puts a checkout in the place of the one that is installed, and starts it."""
    unit = (machine.root / source[1:] / "systemd/taskd.service").read_text()
    lines = [line for line in commands(unit, "install") if line.startswith(("install ", "systemctl "))]
    machine.run(f"systemctl stop taskd; cd {source} && {PIP} && {' && '.join(lines)}")


def show_account(machine: Machine) -> None:
    """Calls from now on are of somebody who may do everything, made with the commands of the release before."""
    machine.run(f"{TASKD} auth user add {ACCOUNT} --data {DATA}", given=f"{PASSWORD}\n")
    machine.run(f"{TASKD} auth grant {ACCOUNT} ALL --data {DATA}")
    machine.token = machine.run(f"{TASKD} auth token add ci --for {ACCOUNT} --data {DATA}").strip()
    machine.run("systemctl kill -s HUP --kill-whom=main taskd")
    machine.wait_until(lambda: machine.api("/tasks/v1").status == 200, "the account in force")


def answers(machine: Machine) -> dict[str, Any]:
    return {path: machine.api(path).body for path in SEEN}


def keeps(now: Any, seen: Any) -> bool:
    """Whether an answer still says all of what was seen; a later release may say more."""
    if isinstance(seen, dict):
        return all(name in now and keeps(now[name], value) for name, value in seen.items())
    if isinstance(seen, list):
        return len(now) == len(seen) and all(map(keeps, now, seen))
    return bool(now == seen)


@pytest.fixture(scope="module")
def before(installed: Machine) -> Iterator[Machine]:
    """The release before, at work on an empty data directory; this one is put back in the end."""
    if not (installed.root / BEFORE[1:]).is_dir():
        pytest.skip("the history of this checkout does not reach to the release before")
    installed.run(f"systemctl stop taskd; systemctl reset-failed; rm -rf {DATA}/* /root/taskd-before")
    install(installed, BEFORE)
    show_account(installed)
    yield installed
    installed.run(f"systemctl stop taskd; rm -rf {DATA}/*")
    install(installed, SOURCE)


@pytest.fixture(scope="module")
def upgraded(before: Machine) -> Upgraded:
    """Tasks wait, run and have ended; there are a function, a schedule and accounts; then the upgrade."""
    deploy(before, SLEEPS)
    schedule = {"functionName": "f", "interval": 60, "startTimestamp": FAR_FUTURE}
    assert before.api("/tasks/v1/schedules", schedule).status == 200
    waiting, complete = create(before, startTimestamp=FAR_FUTURE, tags=["a"]), create(before, data={"seconds": 0})
    wait_for(before, complete, "complete")
    seen = answers(before)
    running = create(before, data={"seconds": 3})
    wait_for(before, running, "inProgress")
    unit = (before.root / SOURCE[1:] / "systemd/taskd.service").read_text()
    before.run(f"cd {SOURCE} && " + " && ".join(commands(unit, "upgrade")))
    return Upgraded(before, seen, waiting, complete, running)


def test_an_upgrade_loses_nothing_and_lets_what_runs_end(upgraded: Upgraded) -> None:
    service, seen = upgraded.service, upgraded.seen
    assert status(service, upgraded.running) == "complete"
    assert "sleeping" in str(service.api(f"/tasks/v1/{upgraded.complete}/logs").body)
    now = answers(service)
    tasks = now["/tasks/v1?limit(100)"]["data"]
    now["/tasks/v1?limit(100)"]["data"] = [task for task in tasks if task["id"] != upgraded.running]
    now["/tasks/v1?limit(100)"]["page"]["total"] -= 1
    assert keeps(now, seen), (now, seen)
    wait_for(service, create(service, data={"seconds": 0}), "complete")
    assert "Traceback" not in service.log()


def test_after_an_upgrade_the_files_are_the_services_alone(upgraded: Upgraded) -> None:
    [owner] = upgraded.service.owners()
    assert not owner.startswith("root")
    assert upgraded.service.run(f"stat -c %a {DATA}/").strip() == "700"
    assert upgraded.service.run(f"find {DATA}/ -path {DATA}/functions -prune -o -perm /077 -print") == ""


def test_the_way_back_loses_nothing_and_runs_nothing_again(upgraded: Upgraded) -> None:
    service = upgraded.service
    waiting, complete = create(service, startTimestamp=FAR_FUTURE), create(service, data={"seconds": 0})
    wait_for(service, complete, "complete")
    service.run(f"systemctl stop taskd && {way_back()}")
    install(service, BEFORE)
    assert [status(service, task) for task in (upgraded.waiting, waiting)] == ["new", "new"]
    assert [status(service, task) for task in (upgraded.running, complete)] == ["complete", "complete"]
    wait_for(service, create(service, data={"seconds": 0}), "complete")


def way_back() -> str:
    """The command that the changelog says makes a data directory fit for the release before."""
    changelog = (Path(__file__).parents[2] / ".github/CHANGELOG.md").read_text()
    command = re.search(r"`(rm /var/lib/taskd/[^`]*)`", changelog)
    assert command, "the changelog does not say how to go back"
    return command[1]
