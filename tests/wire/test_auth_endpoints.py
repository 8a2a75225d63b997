"""Who may call what: every endpoint there is, tried by everyone who may not, and by those who just may."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import SecuredService, secured_service
from support.http.error_shape import assert_error
from support.http.service import function_body

from taskd.model.permissions import Permission

OPEN = "nobody is asked"
ANY_USER = "any user"
PER_FUNCTION = (Permission.EXECUTE_TASK_FUNCTION, Permission.EXECUTE_API_FUNCTION)
API_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
BASES = ("/auth/v2", "/dispatchers/v1", "/events/v1", "/tasks/v1", "/users/v1")
TABLE: dict[str, str] = {
    "GET /tasks/v1": "VIEW_TASKS",
    "POST /tasks/v1": "CREATE_TASKS",
    "POST /tasks/v1/bulk": "CREATE_TASKS",
    "POST /tasks/v1/{id}/cancel": "CANCEL_TASKS",
    "DELETE /tasks/v1/{id}": "DELETE_TASKS",
    "GET /tasks/v1/{id}/logs": "VIEW_TASK_LOGS",
    "GET /tasks/v1/{id}": "VIEW_TASKS",
    "GET /tasks/v1/functions": "VIEW_TASK_FUNCTIONS",
    "POST /tasks/v1/functions": "CREATE_TASK_FUNCTION",
    "GET /tasks/v1/functions/{name}": "VIEW_TASK_FUNCTION_DETAILS",
    "PUT /tasks/v1/functions/{name}": "UPDATE_TASK_FUNCTION",
    "DELETE /tasks/v1/functions/{name}": "DELETE_TASK_FUNCTION",
    "POST /tasks/v1/functions/{name}/enable": "UPDATE_TASK_FUNCTION",
    "POST /tasks/v1/functions/{name}/disable": "UPDATE_TASK_FUNCTION",
    "POST /tasks/v1/functions/{name}/pause": "UPDATE_TASK_FUNCTION",
    "POST /tasks/v1/functions/{name}/resume": "UPDATE_TASK_FUNCTION",
    "POST /tasks/v1/functions/{name}/execute": "EXECUTE_TASK_FUNCTION",
    "GET /tasks/v1/functions/{name}/logs": "VIEW_TASK_FUNCTION_LOGS",
    "GET /tasks/v1/apiRequests": "VIEW_API_FUNCTION_REQUESTS",
    "GET /tasks/v1/apiRequests/{id}/logs": "VIEW_API_FUNCTION_REQUEST_LOGS",
    "GET /tasks/v1/schedules": "VIEW_TASK_SCHEDULES",
    "POST /tasks/v1/schedules": "CREATE_TASK_SCHEDULE",
    "DELETE /tasks/v1/schedules/{id}": "DELETE_TASK_SCHEDULE",
    "GET /tasks/v1/schedules/{id}": "VIEW_TASK_SCHEDULES",
    "PUT /tasks/v1/schedules/{id}": "CREATE_TASK_SCHEDULE",
    "GET /tasks/v1/schedules/{id}/next": "VIEW_TASK_SCHEDULES",
    "POST /tasks/v1/schedules/next": "VIEW_TASK_SCHEDULES",
    "POST /tasks/v1/schedules/{id}/trigger": "CREATE_TASK_SCHEDULE",
    "POST /tasks/v1/schedules/{id}/backfill": "CREATE_TASK_SCHEDULE",
    "POST /tasks/v1/schedules/{id}/pause": "CREATE_TASK_SCHEDULE",
    "POST /tasks/v1/schedules/{id}/resume": "CREATE_TASK_SCHEDULE",
    **{f"{method} /tasks/v1/api/{{name}}": "EXECUTE_API_FUNCTION" for method in API_METHODS},
    **{f"{method} /tasks/v1/api/{{name}}/{{rest}}": "EXECUTE_API_FUNCTION" for method in API_METHODS},
    "GET /events/v1": "VIEW_EVENTS",
    "POST /events/v1": "CREATE_EVENTS",
    "GET /events/v1/subscriptions": "VIEW_SUBSCRIPTIONS",
    "POST /events/v1/subscriptions": "CREATE_SUBSCRIPTIONS",
    "GET /dispatchers/v1": "VIEW_DISPATCHERS",
    "POST /dispatchers/v1": "CREATE_DISPATCHERS",
    "PUT /dispatchers/v1/{id}": "UPDATE_DISPATCHERS",
    "DELETE /dispatchers/v1/{id}": "DELETE_DISPATCHERS",
    "POST /dispatchers/v1/{id}/actions": "UPDATE_DISPATCHERS",
    "PUT /dispatchers/v1/{id}/actions/{action_id}": "UPDATE_DISPATCHERS",
    "DELETE /dispatchers/v1/{id}/actions/{action_id}": "UPDATE_DISPATCHERS",
    "GET /taskd/v1/audit": "VIEW_AUDIT",
    "GET /taskd/v1/pause": "VIEW_TASKS",
    "POST /taskd/v1/pause": "UPDATE_TASK_FUNCTION",
    "POST /taskd/v1/resume": "UPDATE_TASK_FUNCTION",
    "GET /taskd/v1/operations": "VIEW_TASKS",
    "POST /taskd/v1/operations": "VIEW_TASKS",
    "GET /taskd/v1/operations/{id}": "VIEW_TASKS",
    "POST /taskd/v1/operations/{id}/abort": "VIEW_TASKS",
    "GET /taskd/v1/webhooks": "VIEW_WEBHOOKS",
    "POST /taskd/v1/webhooks": "MANAGE_WEBHOOKS",
    "GET /taskd/v1/webhooks/{id}": "VIEW_WEBHOOKS",
    "PUT /taskd/v1/webhooks/{id}": "MANAGE_WEBHOOKS",
    "DELETE /taskd/v1/webhooks/{id}": "MANAGE_WEBHOOKS",
    "POST /taskd/v1/webhooks/{id}/rotate": "MANAGE_WEBHOOKS",
    "POST /taskd/v1/webhooks/{id}/test": "MANAGE_WEBHOOKS",
    "GET /taskd/v1/webhooks/{id}/deliveries": "VIEW_WEBHOOKS",
    "POST /taskd/v1/webhooks/{id}/deliveries/{delivery}/redeliver": "MANAGE_WEBHOOKS",
    "GET /tasks/v1/openapi.json": OPEN,
    "GET /tasks/v1/docs": OPEN,
    "GET /health": OPEN,
    **{f"GET {base}/health": OPEN for base in BASES},
    "POST /auth/v2/oauth1/tokens": OPEN,
    "POST /auth/v2/oauth2/tokens": OPEN,
    "POST /users/v1/register": OPEN,
    "GET /users/v1/me": ANY_USER,
    "GET /users/v1/{id}": ANY_USER,
    "GET /users/v1": "VIEW_USER",
    "POST /users/v1/add_roles": "ADD_ROLE_TO_USER",
    "POST /users/v1/remove_roles": "REMOVE_ROLE_FROM_USER",
    "GET /users/v1/roles": "VIEW_ROLE",
    "POST /users/v1/roles": "CREATE_ROLE",
    "DELETE /users/v1/roles": "DELETE_ROLE",
    "PUT /users/v1/roles/{id}": "UPDATE_ROLE",
    "POST /users/v1/roles/add_permissions": "ADD_ROLE_PERMISSION",
    "POST /users/v1/roles/remove_permissions": "REMOVE_ROLE_PERMISSION",
}
TABLE |= {
    endpoint.replace("GET ", "HEAD "): needed for endpoint, needed in TABLE.items() if endpoint.startswith("GET ")
}
"""What each endpoint asks for. One that is not here fails :func:`test_no_endpoint_is_missing_from_the_table`."""
ALSO = {
    "POST /tasks/v1/schedules": "CREATE_TASKS",
    "PUT /tasks/v1/schedules/{id}": "CREATE_TASKS",
    "POST /tasks/v1/schedules/{id}/resume": "CREATE_TASKS",
    "POST /tasks/v1/schedules/{id}/trigger": "CREATE_TASKS",
    "POST /tasks/v1/schedules/{id}/backfill": "CREATE_TASKS",
}
"""What endpoints ask for besides."""
SECURED = {endpoint: needed for endpoint, needed in TABLE.items() if needed != OPEN}
NEEDING = {endpoint: needed for endpoint, needed in SECURED.items() if needed != ANY_USER}
FUNCTION = "reports"

NOBODY_SPECIAL = holder(1000)
HOLDERS = {permission.value: holder(number, permission.value) for number, permission in enumerate(Permission, 1001)}
ALL_BUT = {
    permission.value: holder(number, *(other.value for other in Permission if other is not permission))
    for number, permission in enumerate(Permission, 2001)
}
BOTH = {endpoint: holder(number, TABLE[endpoint], also) for number, (endpoint, also) in enumerate(ALSO.items(), 5001)}
FOR_ONE = {name.value: holder(number, f"{name.value}:{FUNCTION}") for number, name in enumerate(PER_FUNCTION, 3001)}
FOR_OTHER = {name.value: holder(number, f"{name.value}:other") for number, name in enumerate(PER_FUNCTION, 4001)}
ACCOUNTS = with_holders(
    EVERYBODY,
    *(NOBODY_SPECIAL, *HOLDERS.values(), *ALL_BUT.values(), *BOTH.values(), *FOR_ONE.values(), *FOR_OTHER.values()),
)


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path, ACCOUNTS) as secured:
        yield secured


async def call(secured: SecuredService, endpoint: str, token: str | None = None, ending: str = "") -> ClientResponse:
    method, path = endpoint.split()
    ids = {"id": "0" * 24, "action_id": "1" * 24, "delivery": "0" * 24}
    url = path.format(**ids, name=FUNCTION, rest="x") + ending
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = await secured.service.client.request(method, url, headers=headers)
    await response.read()
    return response


async def code_of(response: ClientResponse) -> int | None:
    """The code of an error; HEAD has no body, so there its status must do."""
    if response.method == "HEAD":
        return {401: 10}.get(response.status)
    answer = await response.json() if response.content_type == "application/json" else {}
    return answer.get("code") if isinstance(answer, dict) else None


def test_no_endpoint_is_missing_from_the_table(secured: SecuredService) -> None:
    resources = secured.service.app.router.resources()
    routes = {(route.method, resource.canonical.rstrip("/")) for resource in resources for route in resource}
    assert {f"{method} {path}" for method, path in routes} == set(TABLE)


async def test_the_document_says_what_each_endpoint_asks_for(secured: SecuredService) -> None:
    document = await secured.service.get("/openapi.json")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            endpoint = f"{method.upper()} {path}"
            permission, _, also = operation.get("x-permission", ANY_USER).partition(", and ")
            said = permission.partition(",")[0] if operation["security"] else OPEN
            assert (TABLE.get(endpoint), ALSO.get(endpoint, "")) == (said, also), path


@pytest.mark.parametrize("ending", ["", "/"])
async def test_nobody_is_asked_for_credentials_everywhere(secured: SecuredService, ending: str) -> None:
    for endpoint in SECURED:
        response = await call(secured, endpoint, ending=ending)
        if response.method == "HEAD":
            assert response.status == 401, endpoint
        else:
            await assert_error(response, 104)


async def test_open_endpoints_ask_nobody(secured: SecuredService) -> None:
    for endpoint in set(TABLE) - set(SECURED):
        assert await code_of(await call(secured, endpoint)) not in (10, 104), endpoint


@pytest.mark.parametrize("ending", ["", "/"])
async def test_a_user_without_permissions_is_told_the_one_that_is_missing(secured: SecuredService, ending: str) -> None:
    for endpoint, needed in NEEDING.items():
        response = await call(secured, endpoint, NOBODY_SPECIAL.token, ending)
        assert await code_of(response) == 10, endpoint
        assert response.method == "HEAD" or needed in (await response.json())["message"]


async def test_every_other_permission_together_does_not_do(secured: SecuredService) -> None:
    for endpoint, needed in NEEDING.items():
        assert await code_of(await call(secured, endpoint, ALL_BUT[needed].token)) == 10, endpoint


@pytest.mark.parametrize("ending", ["", "/"])
async def test_exactly_the_right_permission_does(secured: SecuredService, ending: str) -> None:
    for endpoint, needed in NEEDING.items():
        response = await call(secured, endpoint, BOTH.get(endpoint, HOLDERS[needed]).token, ending)
        assert await code_of(response) not in (10, 104), endpoint
        assert response.status != 401, endpoint


async def test_where_two_permissions_are_asked_for_neither_does_alone(secured: SecuredService) -> None:
    for endpoint, also in ALSO.items():
        for holds, lacks in ((TABLE[endpoint], also), (also, TABLE[endpoint])):
            response = await call(secured, endpoint, HOLDERS[holds].token)
            assert lacks in (await assert_error(response, 10))["message"]
            assert await code_of(await call(secured, endpoint, ALL_BUT[lacks].token)) == 10


async def test_the_permission_for_one_function_does_for_that_function_alone(secured: SecuredService) -> None:
    for endpoint, needed in NEEDING.items():
        if needed in PER_FUNCTION:
            assert (await call(secured, endpoint, FOR_ONE[needed].token)).status != 401, endpoint
            assert (await call(secured, endpoint, FOR_OTHER[needed].token)).status == 401, endpoint


async def test_any_user_may_ask_who_they_are(secured: SecuredService) -> None:
    response = await call(secured, "GET /users/v1/me", NOBODY_SPECIAL.token)
    assert response.status == 200
    assert (await response.json())["id"] == NOBODY_SPECIAL.user.id


async def test_whether_a_function_exists_is_not_told_to_those_who_may_not_know(secured: SecuredService) -> None:
    path = f"/tasks/v1/functions/{FUNCTION}/execute"
    headers = {"Authorization": f"Bearer {NOBODY_SPECIAL.token}"}
    before = await (await secured.service.client.post(path, headers=headers)).json()
    creator = {"Authorization": f"Bearer {HOLDERS['CREATE_TASK_FUNCTION'].token}"}
    created = await secured.service.client.post(
        "/tasks/v1/functions", json=function_body(name=FUNCTION), headers=creator
    )
    assert created.status == 200
    assert await (await secured.service.client.post(path, headers=headers)).json() == before
