"""Direct execution over HTTP: a function is run past the queue, and its result answered."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.functions.local_runtime import appears
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, http_service
from support.http.synchronous_calls import APPLICATION, USER, assert_refused, deploy, deploy_gate, execute

from taskd.execution.settings import DispatchSettings

ECHO = """
def handler(task, context):
    print("got", task["data"])
    return {"status": task["status"], "data": task["data"]}
"""
RAISE = """
class Broken(Exception):
    pass

def handler(task, context):
    print("about to break")
    raise Broken("on purpose")
"""
MAY_EXECUTE = {"Test-Permissions": "EXECUTE_TASK_FUNCTION"}


async def the_only_task(service: Service) -> dict[str, Any]:
    [task] = (await service.get(""))["data"]
    return dict(task)


async def test_the_answer_is_the_task_as_it_ended_with_the_result(service: Service) -> None:
    await deploy(service, ECHO, executionOptions={"defaultPriority": 7})
    executed = await (await execute(service, {"n": 1})).json()
    assert executed.pop("result") == {"status": "inProgress", "data": {"n": 1}}
    assert (executed["status"], executed["data"], executed["priority"]) == ("complete", {"n": 1}, 0)
    assert executed == await the_only_task(service)
    logs = await service.get(f"/{executed['id']}/logs")
    assert [line["message"] for line in logs["data"]] == ["got {'n': 1}"]


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b'{"data": null}', b'{"more": 1}'])
async def test_data_may_be_missing(service: Service, body: bytes) -> None:
    await deploy(service, ECHO)
    response = await service.client.post(f"{BASE}/functions/probe/execute/", data=body)
    assert (await response.json())["result"] == {"status": "inProgress", "data": {}}


async def test_a_function_that_returns_nothing_has_the_result_null(service: Service) -> None:
    await deploy(service, "def handler(task, context): pass")
    assert (await (await execute(service)).json())["result"] is None


@pytest.mark.parametrize(("code", "body"), [(22, b"nonsense"), (22, b"[1]"), (15, b'{"data": 1}')])
async def test_a_wrong_body_leaves_no_task(service: Service, code: int, body: bytes) -> None:
    await deploy(service, ECHO)
    await assert_error(await service.client.post(f"{BASE}/functions/probe/execute", data=body), code)
    assert (await service.get(""))["data"] == []


async def test_a_failure_is_told_and_kept_with_its_task(service: Service) -> None:
    await deploy(service, RAISE)
    body = await assert_refused(await execute(service), 1406, "Broken", "on purpose")
    assert body["runtimeError"] == {"name": "Broken", "message": "on purpose"}
    task = await the_only_task(service)
    assert (task["id"], task["status"]) == (body["taskId"], "failed")
    assert task["error"] == {"type": "runtime", "name": "Broken", "message": "on purpose"}
    logs = await service.get(f"/{body['taskId']}/logs")
    assert logs["data"][0]["message"] == "about to break"


async def test_a_failure_is_not_tried_again_whatever_the_retry_policy_says(service: Service) -> None:
    await deploy(service, RAISE, retryPolicy={"enabled": True, "errorsToRetry": []})
    await assert_error(await execute(service), 1406)
    assert (await the_only_task(service))["status"] == "failed"


async def test_a_function_that_cannot_be_invoked_is_told_so(service: Service) -> None:
    await deploy(service, ECHO)
    await service.runtime.remove("probe")
    body = await assert_refused(await execute(service), 1405, "ResourceNotFoundException")
    task = await the_only_task(service)
    assert (task["id"], task["status"], task["error"]["type"]) == (body["taskId"], "failed", "invocation")


async def test_a_throttled_execution_fails_instead_of_waiting_in_the_queue(tmp_path: Path) -> None:
    async with http_service(tmp_path) as service:
        await deploy(service, ECHO)
        await service.runtime.stop()
        await assert_refused(await execute(service), 1405, "shutting down")
        task = await the_only_task(service)
        assert (task["status"], task["error"]["name"]) == ("failed", "ServiceUnavailableException")


async def test_a_disabled_function_is_not_executed(service: Service) -> None:
    await deploy(service, ECHO, enabled=False)
    await assert_refused(await execute(service), 1410, "probe", "enable it")
    assert (await service.get(""))["data"] == []


async def test_a_time_limit_that_nobody_waits_for_is_refused(service: Service) -> None:
    await deploy(service, ECHO, timeLimit=31)
    await assert_refused(await execute(service), 1404, "31 s", "30 s")
    await deploy(service, ECHO, "longest", timeLimit=30)
    assert (await execute(service, name="longest")).status == 200


async def test_an_unknown_function_is_told_to_those_who_may_know(service: Service) -> None:
    await assert_refused(await execute(service, name="nobody"), 16, "nobody")


async def test_one_too_many_at_once_is_refused_and_makes_no_task(tmp_path: Path) -> None:
    async with http_service(tmp_path, dispatch=DispatchSettings(max_direct=1)) as service:
        await deploy_gate(service, tmp_path)
        first = asyncio.create_task(execute(service, name="gate"))
        await appears(tmp_path / "started")
        await assert_refused(await execute(service, name="gate"), 1403, "dispatch.max_direct")
        (tmp_path / "gate").touch()
        assert (await (await first).json())["result"]["body"] == "opened"
        assert (await (await execute(service, name="gate")).json())["result"]["body"] == "opened"
        assert (await service.get(""))["page"]["total"] == 2


async def test_a_running_execution_is_never_offered_to_the_queue(service: Service, tmp_path: Path) -> None:
    await deploy_gate(service, tmp_path)
    running = asyncio.create_task(execute(service, name="gate"))
    await appears(tmp_path / "started")
    assert ((await service.store.status()).due, service.store.next_due_ms(), await service.store.claim(10)) == (
        0,
        None,
        [],
    )
    assert (await the_only_task(service))["status"] == "inProgress"
    (tmp_path / "gate").touch()
    assert (await running).status == 200


async def test_a_client_that_goes_away_does_not_stop_its_task(service: Service, tmp_path: Path) -> None:
    await deploy_gate(service, tmp_path)
    impatient = asyncio.create_task(execute(service, name="gate"))
    await appears(tmp_path / "started")
    impatient.cancel()
    await asyncio.wait([impatient])
    (tmp_path / "gate").touch()
    async with asyncio.timeout(10):
        while (await the_only_task(service))["status"] == "inProgress":
            await asyncio.sleep(0.01)
    assert (await the_only_task(service))["status"] == "complete"


MODES = [
    # permission mode, what the caller shows, the error, or 200
    ("permissionRequired", None, 104),
    ("permissionRequired", "VIEW_TASKS", 10),
    ("permissionRequired", "EXECUTE_TASK_FUNCTION:other", 10),
    ("permissionRequired", "EXECUTE_TASK_FUNCTION:probe", 200),
    ("permissionRequired", "EXECUTE_TASK_FUNCTION", 200),
    ("allUsers", None, 104),
    ("allUsers", "VIEW_TASKS", 200),
    ("public", None, 200),
    ("public", "VIEW_TASKS", 200),
    ("public", "wrong", 10),
]


@pytest.mark.parametrize(("mode", "shown", "expected"), MODES)
async def test_the_permission_mode_says_who_may_execute(
    header_auth_service: Service, mode: str, shown: str | None, expected: int
) -> None:
    await deploy(header_auth_service, ECHO, executionOptions={"permissionMode": mode})
    response = await execute(header_auth_service, headers={} if shown is None else {"Test-Permissions": shown})
    if expected != 200:
        await assert_error(response, expected)
        return
    task = await response.json()
    who = (task.get("createdByUserId"), task.get("createdByApplicationId"))
    assert who == ((None, None) if shown is None else (USER, APPLICATION))


@pytest.mark.parametrize(("shown", "code"), [(None, 104), ("VIEW_TASKS", 10), ("EXECUTE_TASK_FUNCTION", 16)])
async def test_an_unknown_function_looks_like_one_that_needs_the_permission(
    header_auth_service: Service, shown: str | None, code: int
) -> None:
    headers = {} if shown is None else {"Test-Permissions": shown}
    body = await assert_error(await execute(header_auth_service, name="probe", headers=headers), code)
    if code != 16:
        await deploy(header_auth_service, ECHO)
        assert await assert_error(await execute(header_auth_service, headers=headers), code) == body
