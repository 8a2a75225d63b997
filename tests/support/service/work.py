"""Functions and tasks of the booted service: made, and looked at, over its API."""

import base64

from support.functions.zips import python_zip
from support.service.machine import Machine

FAR_FUTURE = "2199-01-01T00:00:00.000Z"
SLEEPS = """
import time

def handler(task, context):
    print("sleeping")
    time.sleep(task["data"]["seconds"])
    return {}
"""


def deploy(service: Machine, source: str, **fields: object) -> None:
    code = base64.b64encode(python_zip(source)).decode()
    body = {"name": "f", "runtime": "python3.11", "entryPoint": "index.handler", "code": code, **fields}
    assert service.api("/tasks/v1/functions", body).status == 200


def create(service: Machine, **fields: object) -> str:
    answer = service.api("/tasks/v1", {"functionName": "f", **fields})
    assert answer.status == 200, answer
    return str(answer.body["id"])


def status(service: Machine, task_id: str) -> str:
    return str(service.api(f"/tasks/v1?id={task_id}").body["data"][0]["status"])


def wait_for(service: Machine, task_id: str, wanted: str) -> None:
    service.wait_until(lambda: status(service, task_id) == wanted, f"{task_id} {wanted}")
