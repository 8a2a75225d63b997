"""API tokens that were made for a few permissions only: what is left of what every user may."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.auth.accounts import EVERYBODY, Holder, holder, with_holders
from support.auth.service import SecuredService, secured_service
from support.http.error_shape import assert_error
from support.http.service import function_body

CREATOR = holder(1001, "CREATE_TASK_FUNCTION")
PATHS = {"EXECUTE_TASK_FUNCTION": "/tasks/v1/functions/hello/execute", "EXECUTE_API_FUNCTION": "/tasks/v1/api/hello"}
OTHERS = {"EXECUTE_TASK_FUNCTION": "EXECUTE_API_FUNCTION", "EXECUTE_API_FUNCTION": "EXECUTE_TASK_FUNCTION"}


def restricted(number: int, *only: str) -> Holder:
    """A token for ``only`` of a user without any permission of their own."""
    made = holder(number)
    return Holder(made.user, made.token, replace(made.kept, permissions=only))


VIEWER = restricted(2001, "VIEW_TASKS")
WHOLE = {name: restricted(number, name) for number, name in enumerate(PATHS, 3001)}
FOR_ONE = {name: restricted(number, f"{name}:hello") for number, name in enumerate(PATHS, 4001)}
FOR_OTHER = {name: restricted(number, f"{name}:other") for number, name in enumerate(PATHS, 5001)}
UNRESTRICTED = holder(6001)
HOLDERS = (CREATOR, VIEWER, *WHOLE.values(), *FOR_ONE.values(), *FOR_OTHER.values(), UNRESTRICTED)


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path, with_holders(EVERYBODY, *HOLDERS)) as secured:
        yield secured


async def deploy(secured: SecuredService, mode: str) -> None:
    body = function_body(executionOptions={"permissionMode": mode})
    headers = {"Authorization": f"Bearer {CREATOR.token}"}
    response = await secured.service.client.post("/tasks/v1/functions", json=body, headers=headers)
    assert response.status == 200, await response.text()


@pytest.mark.parametrize("permission", PATHS)
async def test_a_token_for_something_else_does_not_run_functions_for_all_users(
    secured: SecuredService, permission: str
) -> None:
    await deploy(secured, "allUsers")
    for token in (VIEWER, FOR_OTHER[permission], WHOLE[OTHERS[permission]]):
        headers = {"Authorization": f"Bearer {token.token}"}
        refused = await secured.service.client.post(PATHS[permission], headers=headers)
        assert permission in (await assert_error(refused, 10))["message"]


@pytest.mark.parametrize("permission", PATHS)
async def test_a_token_for_it_runs_functions_for_all_users(secured: SecuredService, permission: str) -> None:
    await deploy(secured, "allUsers")
    for token in (WHOLE[permission], FOR_ONE[permission], UNRESTRICTED):
        headers = {"Authorization": f"Bearer {token.token}"}
        response = await secured.service.client.post(PATHS[permission], headers=headers)
        assert (await response.json()).get("code") not in (10, 104), token


@pytest.mark.parametrize("permission", PATHS)
async def test_a_token_for_something_else_runs_what_anyone_may_run(secured: SecuredService, permission: str) -> None:
    await deploy(secured, "public")
    headers = {"Authorization": f"Bearer {VIEWER.token}"}
    response = await secured.service.client.post(PATHS[permission], headers=headers)
    assert (await response.json()).get("code") not in (10, 104)
