"""The systemd service as it ships, on a booted Debian."""

import json
import os

import pytest
from support.service.machine import CONFIG, DATA, SOURCE, TASKD, Machine
from support.service.work import FAR_FUTURE, SLEEPS, create, deploy, status, wait_for

pytestmark = pytest.mark.boot

LISTINGS = (
    *("", "?data.seconds=1", "?priority<1", "?sort(-priority)", "?like(functionName,F)", "?tags=a", "?status=re:^n"),
    *("?status=new", "?id=000000000000000000000001", "?sort(-creationTimestamp)&limit(5,1)", "?skipCount()"),
    *("/functions", "/functions?name=f", "/schedules", "/schedules?functionName=f", "/apiRequests"),
    *("/apiRequests?sort(-timestamp)", "/apiRequests?statusCode=200"),
)
"""By an index and by looking at everything, of every kind of thing."""
TAKES_MEMORY = """
def handler(task, context):
    return {"bytes": len(bytearray(b"x") * (task["data"]["mib"] * 1024 ** 2))}
"""
KNOCKS = """
import http.client, threading, time

ends_s = time.monotonic() + 6
counts = {"answered": 0, "refused": 0}

def knock():
    while time.monotonic() < ends_s:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
        try:
            connection.request("GET", "/health")
            counts["answered"] += connection.getresponse().status in (200, 503)
        except ConnectionRefusedError:
            counts["refused"] += 1
        except OSError:
            pass  # one that was accepted and not answered
        finally:
            connection.close()

knocking = [threading.Thread(target=knock) for _ in range(4)]
[thread.start() for thread in knocking]
[thread.join() for thread in knocking]
print(counts["answered"], counts["refused"])
"""


def is_healthy(service: Machine) -> bool:
    return service.try_to("curl -sf -m 10 localhost:8080/health").returncode == 0


def test_it_starts_healthy_and_asks_who_is_calling(service: Machine) -> None:
    assert service.show("ActiveState") == "active"
    assert service.api("/health") == (200, service.api("/health").body | {"status": "ok"})
    service.token = None
    assert service.api("/tasks/v1").status == 401


def test_it_is_bounded_confined_and_watched(service: Machine) -> None:
    assert 0 < int(service.show("MemoryMax")) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert [service.show(name) for name in ("TasksMax", "LimitCORE", "WatchdogUSec")] == ["16384", "0", "30s"]
    process = dict(
        line.split(":", 1) for line in service.run(f"cat /proc/{service.show('MainPID')}/status").splitlines()
    )
    assert process["NoNewPrivs"].strip() == "1"
    assert process["Seccomp"].strip() == "2"
    assert int(process["CapEff"], 16) == 0
    assert int(process["Uid"].split()[1]) != 0


def test_what_it_keeps_is_its_own(service: Machine) -> None:
    deploy(service, SLEEPS)
    [owner] = service.owners()
    assert not owner.startswith("root")
    assert service.run(f"stat -c %a {DATA}/").strip() == "700"
    assert service.run(f"find {DATA}/ -path {DATA}/functions -prune -o -perm /077 -print") == ""


def test_every_listing_is_answered(service: Machine) -> None:
    found = {listing: service.api(f"/tasks/v1{listing}") for listing in LISTINGS}
    assert {listing: answer for listing, answer in found.items() if answer.status != 200} == {}
    assert "Traceback" not in service.log()


def test_nothing_that_it_uses_is_forbidden(service: Machine) -> None:
    deploy(service, SLEEPS)
    wait_for(service, create(service, data={"seconds": 0}), "complete")
    assert service.api("/tasks/v1?data.seconds=0").body["page"]["total"] == 1
    assert "does not let taskd" not in service.log()
    assert service.run("journalctl -u taskd -p err --no-pager -q -o cat") == ""


@pytest.mark.parametrize(
    ("example", "data"), [("hello-python", {"heartRate": 120}), ("hello-node", {"readings": [1, 2]})]
)
def test_functions_of_both_languages_run(service: Machine, example: str, data: object) -> None:
    service.taskd("functions", "deploy", f"{SOURCE}/taskd/examples/{example}")
    service.taskd("tasks", "create", example, "--data", json.dumps(data), "--wait")
    [task] = service.api(f"/tasks/v1?functionName={example}").body["data"]
    assert task["status"] == "complete"
    assert service.taskd("tasks", "logs", task["id"]).strip()


def test_a_function_over_its_memory_limit_fails_alone(service: Machine) -> None:
    deploy(service, TAKES_MEMORY, memoryLimit=128)
    wait_for(service, create(service, data={"mib": 400}), "failed")
    wait_for(service, create(service, data={"mib": 1}), "complete")
    assert service.show("NRestarts") == "0"


def test_a_daemon_that_hangs_is_started_again(service: Machine) -> None:
    service.run("mkdir -p /run/systemd/system/taskd.service.d")
    service.run("printf '[Service]\\nWatchdogSec=3\\n' > /run/systemd/system/taskd.service.d/short.conf")
    try:
        service.run("systemctl daemon-reload && systemctl restart taskd")
        waiting = create(service, startTimestamp=FAR_FUTURE)
        service.run("systemctl kill -s STOP --kill-whom=main taskd")
        service.wait_until(lambda: service.show("NRestarts") == "1" and is_healthy(service), "another start")
        assert status(service, waiting) == "new"
    finally:
        service.run("rm -r /run/systemd/system/taskd.service.d && systemctl daemon-reload")


def test_a_daemon_that_is_killed_comes_back_with_its_tasks(service: Machine) -> None:
    deploy(service, SLEEPS)
    waiting = create(service, startTimestamp=FAR_FUTURE)
    running = create(service, data={"seconds": 60})
    wait_for(service, running, "inProgress")
    service.run("systemctl kill -s KILL --kill-whom=main taskd")
    service.wait_until(lambda: service.show("NRestarts") == "1" and is_healthy(service), "another start")
    assert status(service, waiting) == "new"
    [lost] = service.api(f"/tasks/v1?id={running}").body["data"]
    assert (lost["status"], lost["error"]["name"]) == ("failed", "zombieTaskCleaned")
    wait_for(service, create(service, data={"seconds": 0}), "complete")


def test_a_reload_puts_accounts_in_force(service: Machine) -> None:
    service.taskd("auth", "token", "revoke", "ci", "--config", CONFIG)
    assert service.api("/tasks/v1").status == 200
    service.run("systemctl reload taskd")
    assert service.api("/tasks/v1").status == 401


def test_a_reload_of_accounts_that_cannot_be_used_fails_with_the_reason(service: Machine) -> None:
    service.run(f"echo 'no TOML' >> {DATA}/auth.toml")
    assert service.try_to("systemctl reload taskd").returncode != 0
    assert "The accounts stay as they were" in service.run("systemctl status taskd")
    assert service.api("/tasks/v1").status == 200


def test_stopping_lets_a_running_function_end(service: Machine) -> None:
    deploy(service, SLEEPS)
    running = create(service, data={"seconds": 3})
    wait_for(service, running, "inProgress")
    service.run("systemctl stop taskd")
    assert service.show("Result") == "success"
    assert service.processes() == ""
    service.run("systemctl start taskd")
    assert status(service, running) == "complete"


def test_a_journal_that_root_repaired_is_the_services_again(service: Machine) -> None:
    tasks = [create(service, startTimestamp=FAR_FUTURE) for _ in range(3)]
    [owner] = service.owners()
    service.run("systemctl stop taskd")
    [segment] = service.run(f"ls {DATA}/journal/*.journal").split()
    service.run(f"printf '\\377' | dd of={segment} bs=1 seek=80 conv=notrunc status=none")
    assert service.try_to("systemctl start taskd").returncode != 0
    assert f"{segment} is damaged" in service.log()
    service.run("systemctl stop taskd")
    assert "Repaired" in service.run(f"{TASKD} journal repair {DATA}")
    assert service.owners() == {owner}
    service.run("systemctl reset-failed && systemctl start taskd")
    assert [status(service, task) for task in tasks] == ["new"] * 3


def test_it_starts_on_what_an_earlier_release_left(service: Machine) -> None:
    service.run(f"systemctl stop taskd && cp {DATA}/auth.* /root/ && rm -rf {DATA}/*")
    service.run(f"cp -r {SOURCE}/tests/fixtures/v1/. {DATA}/ && cp /root/auth.* {DATA}/ && chown -R root: {DATA}/")
    service.run("chown root: $(readlink -f /var/lib/taskd) && systemctl start taskd")
    expected = json.loads((service.root / f"{SOURCE[1:]}/tests/fixtures/v1/expected.json").read_text())
    found = service.api("/tasks/v1?limit(100)").body["data"]
    assert {task["id"] for task in expected["tasks"]} <= {task["id"] for task in found}


def test_with_its_socket_nobody_is_refused_during_a_restart(service: Machine) -> None:
    service.run(f"cp {SOURCE}/systemd/taskd.socket /etc/systemd/system/ && systemctl daemon-reload")
    service.run("systemctl stop taskd && systemctl enable -q --now taskd.socket && systemctl start taskd")
    try:
        service.run("systemd-run -q --unit=restart sh -c 'sleep 1; systemctl restart taskd'")
        answered, refused = map(int, service.run("python3 -", given=KNOCKS).split())
        assert "Stopped." in service.log()
        assert (answered > 0, refused) == (True, 0)
    finally:
        service.run("systemctl stop taskd.socket taskd; systemctl disable -q taskd.socket; systemctl reset-failed")
        service.run("rm /etc/systemd/system/taskd.socket && systemctl daemon-reload")
