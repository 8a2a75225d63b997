"""Users and roles over HTTP: what a deployment tool needs to give a function credentials of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from support.auth.accounts import ADA, BOB, CONSUMER, EVERYBODY, OPERATORS, holder, with_holders
from support.auth.service import SecuredService, secured_service
from support.http.error_shape import assert_error

from taskd.auth import account_changes
from taskd.auth.account_events import AccountEvent
from taskd.auth.account_file import editing, read_accounts
from taskd.auth.passwords import matches
from taskd.auth.settings import AuthSettings
from taskd.model.objectid import is_object_id

ADMIN = holder(100, "ALL")
ROLES = ("VIEW_ROLE", "CREATE_ROLE", "UPDATE_ROLE", "DELETE_ROLE", "ADD_ROLE_PERMISSIONS", "REMOVE_ROLE_PERMISSIONS")
DEPLOYER = holder(101, "VIEW_USER", *ROLES, "ADD_ROLE_TO_USER", "REMOVE_ROLE_FROM_USER", "CREATE_TASKS")
VIEWER = holder(102, "VIEW_USER")
ACCOUNTS = with_holders(EVERYBODY, ADMIN, DEPLOYER, VIEWER)
EMAIL = "exh.tasks+Greet@example.com"
NEW = {
    "first_name": "exh.tasks",
    "last_name": "greet",
    "email": EMAIL,
    "password": "0Oo-" + "a" * 32,
    "phone_number": "0000000000",
    "language": "EN",
    "activation_mode": "manual",
}


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path, ACCOUNTS) as secured:
        yield secured


async def call(
    secured: SecuredService, method: str, path: str, body: Any = None, token: str | None = DEPLOYER.token
) -> ClientResponse:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await secured.service.client.request(method, f"/users/v1{path}", json=body, headers=headers)


async def answer(secured: SecuredService, method: str, path: str, body: Any = None, **kwargs: Any) -> Any:
    response = await call(secured, method, path, body, **kwargs)
    assert response.status == 200, await response.text()
    return await response.json()


async def new_role(secured: SecuredService, name: str = "exh.tasks.greet") -> dict[str, Any]:
    return dict(await answer(secured, "POST", "/roles", {"name": name, "description": "A role"}))


async def new_user(secured: SecuredService, **fields: Any) -> dict[str, Any]:
    body = NEW | fields
    page = await answer(secured, "GET", f"/?eq(email,{body['email']})")
    assert page["data"] == []
    return dict(await answer(secured, "POST", "/register", body, token=None))


async def test_a_role_is_made_found_filled_and_emptied(secured: SecuredService) -> None:
    role = await new_role(secured)
    assert is_object_id(role["id"])
    assert role["creation_timestamp"] == role["update_timestamp"] == int(role["id"][:8], 16) * 1000
    names = ["CREATE_TASKS", "VIEW_DOCUMENTS:blood-pressure-measurement", "SEND_MAILS"]
    added = await answer(
        secured, "POST", "/roles/add_permissions?eq(name,exh%252Etasks%252Egreet)", {"permissions": names}
    )
    assert added == {"records_affected": 1}
    page = await answer(secured, "GET", "/roles?eq(name,exh%252Etasks%252Egreet)")
    assert page["page"] == {"offset": 0, "limit": 20, "total": 1}
    assert page["data"][0]["permissions"] == [{"name": name} for name in names]
    assert page["data"][0]["update_timestamp"] > role["update_timestamp"]
    gone = {"permissions": ["SEND_MAILS", "CREATE_TASKS", "NOT_THERE"]}
    assert await answer(secured, "POST", f"/roles/remove_permissions?id={role['id']}", gone) == {"records_affected": 1}
    [left] = (await answer(secured, "GET", f"/roles?id={role['id']}"))["data"]
    assert left["permissions"] == [{"name": names[1]}]


async def test_a_role_is_renamed_for_those_who_have_it_and_deleted_for_them(secured: SecuredService) -> None:
    role, user = await new_role(secured), await new_user(secured)
    await answer(secured, "POST", f"/add_roles?id={user['id']}", {"roles": [role["id"]]})
    renamed = await answer(secured, "PUT", f"/roles/{role['id']}", {"name": "My role", "description": "another"})
    assert (renamed["name"], renamed["description"]) == ("My role", "another")
    assert [each["name"] for each in (await answer(secured, "GET", f"/{user['id']}"))["roles"]] == ["My role"]
    assert await answer(secured, "DELETE", "/roles?name=My%2520role") == {"records_affected": 1}
    assert (await answer(secured, "GET", f"/{user['id']}"))["roles"] == []


async def test_users_are_found_by_their_address_in_any_case(secured: SecuredService) -> None:
    user = await new_user(secured)
    for email in (EMAIL, EMAIL.upper(), EMAIL.lower(), EMAIL.replace("+", "%252B").replace("@", "%2540")):
        page = await answer(secured, "GET", f"/?eq(email,{email})")
        assert [each["id"] for each in page["data"]] == [user["id"]]
    page = await answer(secured, "GET", "?in(id," + ",".join([ADA.id, BOB.id]) + ")&sort(-email)&select(email)")
    assert [each["email"] for each in page["data"]] == [BOB.email, ADA.email]
    assert (await answer(secured, "GET", "/?eq(roles.name,operators)"))["page"]["total"] == 1
    assert (await answer(secured, "GET", f"/?creation_timestamp>={secured.clock()}"))["page"]["total"] == 1


async def test_a_registered_user_logs_in_and_holds_what_its_role_holds(secured: SecuredService) -> None:
    role, user = await new_role(secured), await new_user(secured)
    assert user | {"id": "", "creation_timestamp": 0, "update_timestamp": 0} == {
        **{name: NEW[name] for name in ("first_name", "last_name", "phone_number", "language")},
        "id": "",
        "creation_timestamp": 0,
        "update_timestamp": 0,
        "roles": [],
        "activation": True,
        "email": EMAIL.lower(),
    }
    query = f"?id={user['id']}"
    await answer(secured, "POST", "/roles/add_permissions?name=exh.tasks.greet", {"permissions": ["CREATE_TASKS"]})
    assert await answer(secured, "POST", f"/add_roles{query}", {"roles": [role["id"]]}) == {"records_affected": 1}
    [kept] = [each for each in read_accounts(secured.accounts_file).users if each.id == user["id"]]
    assert matches(str(NEW["password"]), kept.password)
    caller = secured.auth.directory.caller(secured.auth.directory.user(user["id"]), CONSUMER)
    assert caller.permissions == {"CREATE_TASKS"}
    assert await answer(secured, "POST", f"/remove_roles{query}", {"roles": [role["id"]]}) == {"records_affected": 1}
    assert not secured.auth.directory.caller(secured.auth.directory.user(user["id"]), None).permissions


@pytest.mark.parametrize("name", ["VIEW_TASKS", "ALL", "EXECUTE_TASK_FUNCTION:reports", "VIEW_AUDIT"])
async def test_nobody_adds_a_permission_that_they_do_not_hold(secured: SecuredService, name: str) -> None:
    role = await new_role(secured)
    path, body = f"/roles/add_permissions?id={role['id']}", {"permissions": ["SEND_MAILS", name]}
    assert name in (await assert_error(await call(secured, "POST", path, body), 10))["message"]
    assert (await answer(secured, "GET", f"/roles?id={role['id']}"))["data"][0]["permissions"] == []
    assert await answer(secured, "POST", path, body, token=ADMIN.token) == {"records_affected": 1}


async def test_nobody_gives_a_role_that_may_do_more_than_they_may(secured: SecuredService) -> None:
    path, body = f"/add_roles?id={DEPLOYER.user.id}", {"roles": [OPERATORS.id]}
    await assert_error(await call(secured, "POST", path, body), 10)
    assert await answer(secured, "POST", path, body, token=ADMIN.token) == {"records_affected": 1}


async def test_nobody_renames_a_role_that_may_do_more_than_they_may(secured: SecuredService) -> None:
    # an issuer's groups are names of roles: with the name of one's own group, a role would be one's own
    path = f"/roles/{OPERATORS.id}"
    await assert_error(await call(secured, "PUT", path, {"name": "everybody", "description": "mine"}), 10)
    [kept] = (await answer(secured, "GET", f"/roles?id={OPERATORS.id}"))["data"]
    assert (kept["name"], kept["description"]) == (OPERATORS.name, OPERATORS.description)
    await answer(secured, "PUT", path, {"name": OPERATORS.name, "description": "the same name"})
    assert (await answer(secured, "PUT", path, {"name": "everybody"}, token=ADMIN.token))["name"] == "everybody"


async def test_a_token_for_less_gives_no_more_than_it_may(secured: SecuredService) -> None:
    accounts, narrow = account_changes.add_token(
        secured.auth.accounts, "narrow", ADMIN.user.email, ("ADD_ROLE_PERMISSION", "CREATE_TASKS"), 0
    )
    secured.change(accounts)
    path = "/roles/add_permissions?name=operators"
    assert await answer(secured, "POST", path, {"permissions": ["CREATE_TASKS"]}, token=narrow)
    await assert_error(await call(secured, "POST", path, {"permissions": ["VIEW_TASKS"]}, token=narrow), 10)


async def test_names_that_mean_nothing_here_stay_without_effect(secured: SecuredService) -> None:
    role = await new_role(secured)
    names = ["FLY", "VIEW_TASKS:reports", "view_tasks"]
    assert await answer(secured, "POST", f"/roles/add_permissions?id={role['id']}", {"permissions": names})
    [kept] = [each for each in read_accounts(secured.accounts_file).roles if each.id == role["id"]]
    assert (kept.permissions, kept.other_permissions) == ((), tuple(names))


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/roles", {}, 14),
        ("POST", "/roles", {"name": ""}, 15),
        ("POST", "/roles", {"name": "a\nb"}, 15),
        ("POST", "/roles", {"name": "operators"}, 17),
        ("PUT", f"/roles/{'0' * 24}", {"name": "x"}, 16),
        ("PUT", f"/roles/{OPERATORS.id}", {"name": " x"}, 15),
        ("DELETE", "/roles", None, 20),
        ("DELETE", "/roles?name=operators&limit(1)", None, 19),
        ("DELETE", "/roles?name=nobody", None, 16),
        ("DELETE", "/roles?colour=red", None, 19),
        ("POST", "/roles/add_permissions?name=operators", {"permissions": []}, 15),
        ("POST", "/roles/add_permissions?name=operators", {"permissions": ["a b"]}, 15),
        ("POST", "/roles/add_permissions?name=operators", {"permissions": "FLY"}, 15),
        ("POST", "/roles/add_permissions?name=nobody", {"permissions": ["FLY"]}, 16),
        ("POST", "/roles/add_permissions", {"permissions": ["FLY"]}, 20),
        ("POST", "/roles/remove_permissions?name=nobody", {"permissions": ["FLY"]}, 16),
        ("POST", f"/add_roles?id={'0' * 24}", {"roles": [OPERATORS.id]}, 10),
        ("POST", f"/remove_roles?id={'0' * 24}", {"roles": [OPERATORS.id]}, 16),
        ("POST", f"/add_roles?id={ADA.id}", {"roles": ["0" * 24]}, 16),
        ("POST", f"/add_roles?id={ADA.id}", {"roles": []}, 15),
        ("POST", f"/add_roles?id={ADA.id}", {"roles": ["operators"]}, 15),
        ("POST", "/add_roles", {"roles": [OPERATORS.id]}, 20),
        ("GET", "/x", None, 12),
        ("GET", f"/{'0' * 24}", None, 16),
        ("GET", "/?eq(password,x)", None, 19),
    ],
)
async def test_a_wrong_call_is_told_what_is_wrong_and_changes_nothing(
    secured: SecuredService, method: str, path: str, body: Any, code: int
) -> None:
    before = read_accounts(secured.accounts_file)
    await assert_error(await call(secured, method, path, body), code)
    assert read_accounts(secured.accounts_file) == before


async def test_a_user_may_look_at_themselves_and_at_nobody_else(secured: SecuredService) -> None:
    nobody = holder(103)
    secured.change(with_holders(ACCOUNTS, nobody))
    assert (await answer(secured, "GET", f"/{nobody.user.id}", token=nobody.token))["id"] == nobody.user.id
    for other in (ADA.id, "f" * 24):
        await assert_error(await call(secured, "GET", f"/{other}", token=nobody.token), 10)


async def test_nobody_registers_an_address_that_was_not_looked_up(secured: SecuredService) -> None:
    await assert_error(await call(secured, "POST", "/register", NEW, token=None), 10)
    await answer(secured, "GET", f"/?eq(email,{EMAIL})", token=VIEWER.token)
    await assert_error(await call(secured, "POST", "/register", NEW, token=None), 10)
    await answer(secured, "GET", f"/?or(eq(email,{EMAIL}),eq(id,x))")
    await assert_error(await call(secured, "POST", "/register", NEW, token=None), 10)
    await answer(secured, "GET", f"/?eq(email,{BOB.email})")
    await assert_error(await call(secured, "POST", "/register", NEW | {"email": BOB.email}, token=None), 10)


async def test_two_who_register_the_same_address_at_once_both_get_no_user(secured: SecuredService) -> None:
    user = await new_user(secured)
    await assert_error(await call(secured, "POST", "/register", NEW | {"password": "x" * 10}, token=None), 10)
    await assert_error(await call(secured, "GET", f"/{user['id']}"), 16)
    await answer(secured, "GET", f"/?eq(email,{EMAIL})")
    statuses = {
        response.status
        for response in await asyncio.gather(*(call(secured, "POST", "/register", NEW, token=None) for _ in range(3)))
    }
    assert statuses <= {200, 401}
    assert (await answer(secured, "GET", f"/?eq(email,{EMAIL})"))["data"] == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"email": "nowhere"}, 15),
        ({"email": "local@localhost"}, 15),
        ({"email": "a" * 250 + "@example.com"}, 15),
        ({"password": "short"}, 15),
        ({"password": "with a \0 byte"}, 15),
        ({"first_name": "\x1b[2J"}, 15),
        ({"language": 1}, 15),
        ({"email": None}, 14),
    ],
)
async def test_a_registration_that_breaks_a_rule_is_told_which(
    secured: SecuredService, fields: dict[str, Any], code: int
) -> None:
    await assert_error(await call(secured, "POST", "/register", NEW | fields, token=None), code)


async def test_where_registration_is_open_a_used_address_is_told(tmp_path: Path) -> None:
    async with secured_service(tmp_path, ACCOUNTS, AuthSettings(registration="open")) as secured:
        assert (await answer(secured, "POST", "/register", NEW, token=None))["roles"] == []
        await assert_error(await call(secured, "POST", "/register", NEW | {"password": "x" * 10}, token=None), 203)


async def test_what_is_changed_over_the_api_and_by_commands_at_once_is_all_kept(secured: SecuredService) -> None:
    def command(number: int) -> None:
        with editing(secured.accounts_file) as edit:
            edit.accounts = account_changes.grant(edit.accounts, f"role:command{number}", ["VIEW_TASKS"])

    await asyncio.gather(
        *(new_role(secured, f"api{number}") for number in range(10)),
        *(asyncio.to_thread(command, number) for number in range(10)),
    )
    names = {role.name for role in read_accounts(secured.accounts_file).roles}
    assert names == {"operators", *(f"{kind}{number}" for kind in ("api", "command") for number in range(10))}


async def test_what_a_command_revokes_and_reloads_right_after_a_change_stays_revoked(secured: SecuredService) -> None:
    changing = asyncio.create_task(new_role(secured))
    written = secured.accounts_file.read_text
    while "exh.tasks.greet" not in written():  # lets the server begin, then holds it up where it has yet to go on
        await asyncio.sleep(0)
    with editing(secured.accounts_file) as edit:
        edit.accounts = account_changes.remove_user(edit.accounts, BOB.email)
    secured.auth.reload()
    await changing
    assert secured.auth.directory.user_by_email(BOB.email) is None


async def test_a_file_that_cannot_be_used_refuses_changes_and_is_left_as_it_is(secured: SecuredService) -> None:
    secured.accounts_file.write_text("[[users")
    await assert_error(await call(secured, "POST", "/roles", {"name": "x"}), 1503)
    assert secured.accounts_file.read_text() == "[[users"
    assert (await answer(secured, "GET", "/roles"))["page"]["total"] == 1


async def test_who_changed_what_is_in_the_audit_trail(secured: SecuredService) -> None:
    role, user = await new_role(secured), await new_user(secured)
    await answer(secured, "POST", f"/roles/add_permissions?id={role['id']}", {"permissions": ["CREATE_TASKS"]})
    await answer(secured, "POST", f"/add_roles?id={user['id']}", {"roles": [role["id"]]})
    await call(secured, "POST", f"/add_roles?id={user['id']}", {"roles": [OPERATORS.id]})
    await call(secured, "POST", "/register", NEW | {"email": "stranger@example.com"}, token=None)
    headers = {"Authorization": f"Bearer {ADMIN.token}"}
    page = await (await secured.service.client.get("/taskd/v1/audit", headers=headers)).json()
    entries = [(each["action"], each["outcome"], each["subjectId"]) for each in page["data"]]
    assert entries == [
        ("roles.create", "done", role["id"]),
        ("users.add", "done", user["id"]),
        ("permissions.grant", "done", role["id"]),
        ("permissions.grant", "done", user["id"]),
        ("permissions.grant", "failed", f"id={user['id']}"),
    ]
    assert page["data"][1]["detail"] == {"looked_up_by": DEPLOYER.user.id, "email": EMAIL.lower()}
    assert page["data"][2]["detail"] == {"permissions": "CREATE_TASKS"}


async def test_what_happens_to_users_is_told_whoever_does_it(secured: SecuredService) -> None:
    told: list[AccountEvent] = []
    secured.auth.on_events(told.extend)
    user = await new_user(secured)
    assert told == [AccountEvent("user_created", {"id": user["id"]})]
    await new_role(secured)
    accounts = account_changes.set_password(secured.auth.accounts, BOB.email, "another password")
    secured.change(account_changes.remove_user(accounts, EMAIL))
    assert told[1:] == [
        AccountEvent("user_deleted", {"id": user["id"]}),
        AccountEvent("password_update_completed", {"user_id": BOB.id}),
    ]


async def test_a_call_that_is_given_up_is_in_force_all_the_same_once_it_is_written(secured: SecuredService) -> None:
    changing = asyncio.create_task(
        secured.auth.change(lambda accounts: (account_changes.remove_user(accounts, BOB.email), None))
    )
    await asyncio.sleep(0)
    changing.cancel()
    with suppress(asyncio.CancelledError):
        await changing
    await new_role(secured)
    assert secured.auth.directory.user_by_email(BOB.email) is None
    assert BOB.email not in secured.accounts_file.read_text()
