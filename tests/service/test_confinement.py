"""How far the service as it ships confines functions: to the full, and what one tries there gets nowhere."""

import base64
import platform
from typing import Any

import pytest
from support.functions.zips import node_zip, python_zip
from support.service.machine import DATA, Machine

from taskd.runtime.local.confinement import landlock

pytestmark = [
    pytest.mark.boot,
    pytest.mark.skipif(platform.machine() != "x86_64" or not landlock.ABI, reason="this kernel does not confine"),
]

TRIES = """
import os, signal, socket, threading

def tell_systemd(message):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(message, "/run/systemd/notify")

def connect(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)

def fill():
    with open("/tmp/x", "wb") as file:
        while True:
            file.write(bytes(1 << 20))

def start_threads():
    over = threading.Event()
    try:
        for _ in range(1100):
            threading.Thread(target=over.wait).start()
    except RuntimeError as error:
        raise OSError(11, str(error)) from error
    finally:
        over.set()

def handler(event, context):
    try:
        return {"did": repr(eval(event["data"]["expression"]))}
    except OSError as error:
        return {"refused": error.strerror}
"""
NODE = """
const fs = require('node:fs');
exports.handler = async () => {
  fs.writeFileSync('/tmp/x', 'x');
  const seen = ['/etc', '/usr', '/run', '/root', '/home', '/boot', '/srv'].filter(fs.existsSync);
  return {seen, home: process.env.HOME};
};
"""


def deploy(service: Machine, code: bytes, runtime: str) -> None:
    body = {"name": "f", "runtime": runtime, "entryPoint": "index.handler", "code": base64.b64encode(code).decode()}
    assert service.api("/tasks/v1/functions", body).status == 200


def execute(service: Machine, **data: object) -> dict[str, Any]:
    answer = service.api("/tasks/v1/functions/f/execute", {"data": data})
    assert answer.status == 200, answer
    return dict(answer.body["result"])


def test_functions_are_confined_by_all_that_the_kernel_has(service: Machine) -> None:
    own = "" if landlock.ABI >= landlock.ABI_SCOPE else ", own processes"
    means = f"Landlock ABI {landlock.ABI}, seccomp, own mounts{own}"
    assert service.api("/health").body["confinement"] == means
    log = service.log()
    assert f"functions are confined by {means}" in log
    if landlock.ABI >= landlock.ABI_SCOPE:
        assert "not confined" not in log


def test_a_node_function_sees_a_file_system_of_its_own(service: Machine) -> None:
    deploy(service, node_zip(NODE), "nodejs18.x")
    assert execute(service) == {"seen": ["/etc", "/usr"], "home": "/tmp"}


ATTEMPTS = (
    f"os.listdir({DATA!r} + '/journal')",
    f"open({DATA!r} + '/auth.key').read()",
    f"open({DATA!r} + '/catalogue.db', 'r+')",
    "open('/etc/taskd/taskd.toml').read()",
    "open('/etc/shadow').read()",
    "os.kill({pid}, signal.SIGKILL)",
    "os.kill({pid}, signal.SIGSTOP)",
    "open('/proc/{pid}/mem', 'rb')",
    "open('/proc/{pid}/environ', 'rb').read()",
    "os.listdir('/proc/{pid}/root')",
    "os.listdir('/proc/{pid}/fd')",
    "tell_systemd(b'STOPPING=1')",
    "tell_systemd(b'MAINPID=1')",
    "connect('/run/dbus/system_bus_socket')",
    "connect('/run/systemd/private')",
    "connect('/run/taskd.sock')",
    "open('/dev/shm/x', 'w')",
    "open('/sys/fs/cgroup/cgroup.procs', 'w')",
    "open('/proc/sys/kernel/core_pattern', 'w')",
    "os.chmod('/opt/taskd', 0o777)",
    "os.rename(os.getcwd(), os.getcwd() + 'x')",
    "fill()",
    "start_threads()",
)


def test_what_a_function_tries_gets_nowhere(service: Machine) -> None:
    deploy(service, python_zip(TRIES), "python3.11")
    daemon = service.show("MainPID")
    answers = {attempt: execute(service, expression=attempt.replace("{pid}", daemon)) for attempt in ATTEMPTS}
    assert {attempt: answer for attempt, answer in answers.items() if "refused" not in answer} == {}
    assert service.show("MainPID") == daemon
    assert service.api("/health").status == 200
