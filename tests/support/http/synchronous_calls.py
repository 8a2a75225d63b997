"""Functions to be called at once, and callers that a test makes up."""

from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, web
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body, zipped

from taskd.model import errors
from taskd.model.caller import Caller
from taskd.model.errors import ContractError

GATE = """
import os, time
from pathlib import Path

def handler(event, context):
    folder = Path(os.environ["FOLDER"])
    (folder / "started").write_text("yes\\n")
    while not (folder / "gate").exists():
        time.sleep(0.005)
    return {"statusCode": 200, "body": "opened"}
"""
"""A function that says when it has started, and ends when the file ``gate`` is there."""
USER = "5f0000000000000000000001"
APPLICATION = "5f0000000000000000000002"


async def from_test_header(request: web.Request) -> Caller:
    """Takes ``Test-Permissions`` (names with commas between them) at its word; without it, nothing was shown."""
    shown = request.headers.get("Test-Permissions")
    if shown is None:
        raise ContractError(errors.NOT_AUTHENTICATED, "Send Test-Permissions.")
    if shown == "wrong":
        raise ContractError(errors.NO_PERMISSION, "These credentials are wrong.")
    return Caller(USER, APPLICATION, frozenset(shown.split(",")), is_authenticated=True)


def gate_body(folder: Path, **fields: Any) -> dict[str, Any]:
    """A body that creates ``GATE`` as the function ``gate``, with its files in ``folder``."""
    environment = {"FOLDER": {"value": str(folder)}}
    return function_body(name="gate", code=zipped(index=GATE), environmentVariables=environment, **fields)


async def deploy_gate(service: Service, folder: Path) -> None:
    """Deploys ``GATE`` with its files in ``folder``."""
    async with service.client.post(f"{BASE}/functions", json=gate_body(folder)) as response:
        assert response.status == 200, await response.text()


async def deploy(service: Service, source: str, name: str = "probe", **fields: Any) -> None:
    """Deploys a Python function with ``source`` as its module."""
    body = function_body(name=name, code=zipped(index=source), **fields)
    headers = {"Test-Permissions": "CREATE_TASK_FUNCTION"}
    async with service.client.post(f"{BASE}/functions", json=body, headers=headers) as response:
        assert response.status == 200, await response.text()


async def execute(service: Service, data: Any = None, name: str = "probe", **options: Any) -> ClientResponse:
    """A direct execution."""
    body = {} if data is None else {"data": data}
    return await service.client.post(f"{BASE}/functions/{name}/execute", json=body, **options)


async def call_api(service: Service, path: str, method: str = "GET", **options: Any) -> ClientResponse:
    """A call of an API function; ``path`` begins with its name."""
    return await service.client.request(method, f"{BASE}/api/{path}", **options)


async def assert_refused(response: ClientResponse, code: int, *words: str) -> dict[str, Any]:
    """An error whose message has these words in it."""
    body = await assert_error(response, code)
    assert all(word in body["message"] for word in words), body["message"]
    return body
