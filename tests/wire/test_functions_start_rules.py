"""Start rules in a real daemon: set over HTTP, kept over a kill, and held by the queue and by direct executions."""

import asyncio
import base64
from pathlib import Path
from typing import Any

from support.daemon.process import Api, api_of, running_daemon
from support.functions.zips import python_zip
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body

GATE = """
import os, time
def handler(task, context):
    while not os.path.exists(task["data"]["gate"]):
        time.sleep(0.01)
    return 1
"""


async def deploy(api: Api, name: str, **options: object) -> None:
    code = base64.b64encode(python_zip(GATE)).decode()
    body = {"name": name, "runtime": "python3.11", "entryPoint": "index.handler", "code": code}
    await api.call("POST", "/functions", {**body, "executionOptions": options})


async def statuses(api: Api, tasks: list[dict[str, Any]]) -> list[str]:
    return [(await api.call("GET", f"/{task['id']}"))["status"] for task in tasks]


async def test_no_more_of_a_key_run_than_may_and_the_next_when_one_has_ended(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with running_daemon(tmp_path) as daemon, api_of(daemon) as api:
        await deploy(api, "keyed", concurrency={"perKey": 1, "key": "data.patientId"})
        await deploy(api, "other")
        data = [{"gate": str(gate), "patientId": patient} for patient in ("a", "a", "b")]
        tasks = [await api.call("POST", "", {"functionName": "keyed", "priority": 9, "data": each}) for each in data]
        (tmp_path / "open").touch()
        other = await api.call("POST", "", {"functionName": "other", "data": {"gate": str(tmp_path / "open")}})
        assert (await api.call("GET", f"/{other['id']}?wait=30"))["status"] == "complete"
        assert await statuses(api, tasks) == ["inProgress", "new", "inProgress"]
        gate.touch()
        for task in tasks:
            assert (await api.call("GET", f"/{task['id']}?wait=30"))["status"] == "complete"
        await daemon.kill()
        await daemon.start()
        options = (await api.call("GET", "/functions/keyed"))["executionOptions"]
        assert options["concurrency"] == {"perKey": 1, "key": "data.patientId"}
        assert await daemon.stop() == 0


async def execute(service: Service, name: str, data: object) -> Any:
    return await service.client.post(f"{BASE}/functions/{name}/execute", json={"data": data})


async def put(service: Service, options: object) -> None:
    async with service.client.put(f"{BASE}/functions/hello", json={"executionOptions": options}) as response:
        assert response.status == 200, await response.text()


async def options_of(service: Service) -> Any:
    async with service.client.get(f"{BASE}/functions/hello") as response:
        return (await response.json())["executionOptions"]


async def test_rules_are_changed_one_by_one_and_taken_away_by_an_empty_one(service: Service) -> None:
    await service.client.post(f"{BASE}/functions", json=function_body())
    plain = {"permissionMode": "permissionRequired", "defaultPriority": 0}
    assert await options_of(service) == plain
    await put(service, {"concurrency": {"total": 3}})
    await put(service, {"throttle": {"limit": 2, "periodSeconds": 1.5, "key": "data.a"}, "defaultPriority": 4})
    assert await options_of(service) == {
        **plain,
        "defaultPriority": 4,
        "concurrency": {"total": 3},
        "throttle": {"limit": 2, "periodSeconds": 1.5, "burst": 1, "key": "data.a"},
    }
    await put(service, {"concurrency": {}, "throttle": {}})
    assert await options_of(service) == {**plain, "defaultPriority": 4}


async def test_a_direct_execution_that_a_throttle_has_no_room_for_is_refused_and_makes_no_task(
    service: Service,
) -> None:
    options = {"throttle": {"limit": 1, "periodSeconds": 3600, "key": "data.k"}}
    await service.client.post(f"{BASE}/functions", json=function_body(executionOptions=options))
    assert (await execute(service, "hello", {"k": 1})).status == 200
    message = await assert_error(await execute(service, "hello", {"k": 1}), 1403)
    assert "throttle" in str(message)
    assert (await execute(service, "hello", {"k": 2})).status == 200
    async with service.client.get(f"{BASE}/") as response:
        assert (await response.json())["page"]["total"] == 2


async def test_a_direct_execution_past_the_concurrency_is_refused_until_one_has_ended(service: Service) -> None:
    code = base64.b64encode(
        python_zip("import time\ndef handler(task, _):\n    time.sleep(task['data']['s'])\n")
    ).decode()
    body = function_body(code=code, executionOptions={"concurrency": {"total": 1}})
    await service.client.post(f"{BASE}/functions", json=body)
    running = asyncio.create_task(execute(service, "hello", {"s": 1}))
    while not (await (await service.client.get(f"{BASE}/?status=inProgress")).json())["data"]:
        await asyncio.sleep(0)
    await assert_error(await execute(service, "hello", {"s": 0}), 1403)
    assert (await running).status == 200
    assert (await execute(service, "hello", {"s": 0})).status == 200
