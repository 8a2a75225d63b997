"""Logging in over HTTP: every grant, every refusal in its own words, and what ends a login."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, encode_basic_auth
from msgspec.structs import replace
from oauthlib.oauth1 import Client
from support.auth.accounts import (
    ADA,
    BOB,
    CLIENT,
    CONSUMER,
    EVERYBODY,
    PASSWORD,
    PUBLIC_CLIENT,
    SECRET,
    holder,
    with_holders,
)
from support.auth.service import Guarded, guarded_service
from support.http.error_shape import assert_error

from taskd.auth import signing_key
from taskd.auth.login_throttle import PER_ACCOUNT
from taskd.auth.settings import AuthSettings

OAUTH2 = "/auth/v2/oauth2/tokens"
OAUTH1 = "/auth/v2/oauth1/tokens"
LOGIN = {"grant_type": "password", "username": ADA.email, "password": PASSWORD, "client_id": PUBLIC_CLIENT.key}
SERVICE = {"grant_type": "client_credentials", "client_id": CLIENT.key, "client_secret": SECRET}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded_service(tmp_path) as guarded:
        yield guarded


async def post(guarded: Guarded, body: object, path: str = OAUTH2, **options: Any) -> ClientResponse:
    response = await guarded.service.client.post(path, json=body, **options)
    await response.read()
    return response


async def logged_in(guarded: Guarded, body: dict[str, str] = LOGIN) -> dict[str, Any]:
    response = await post(guarded, body)
    assert response.status == 200, await response.text()
    return dict(await response.json())


async def tasks_with(guarded: Guarded, token: str, **headers: str) -> ClientResponse:
    return await guarded.service.client.get("/tasks/v1", headers={"Authorization": f"Bearer {token}", **headers})


async def assert_oauth2_error(response: ClientResponse, error: str, code: int | None = None) -> None:
    answer = await response.json()
    assert answer["error"] == error, answer
    assert answer["error_description"]
    assert response.status == (401 if error == "invalid_client" else 400)
    assert ("WWW-Authenticate" in response.headers) == (error == "invalid_client")
    assert answer.get("exh_error", {}).get("code") == code
    assert response.headers["Cache-Control"] == "no-store"


async def sign(
    guarded: Guarded, method: str, path: str, token: str = "", secret: str = "", **options: Any
) -> dict[str, str]:
    """The headers of a signed request to ``path``."""
    timestamp = str(guarded.clock() // 1000)
    client = Client(CONSUMER.key, options.get("consumer_secret", CONSUMER.secret), token, secret, timestamp=timestamp)
    return dict(client.sign(guarded.service.url + path, method)[1])


async def oauth1_login(guarded: Guarded, email: str = ADA.email, password: str = PASSWORD) -> ClientResponse:
    headers = await sign(guarded, "POST", OAUTH1)
    return await post(guarded, {"email": email, "password": password}, OAUTH1, headers=headers)


@pytest.mark.parametrize("ending", ["", "/"])
async def test_a_password_gives_tokens_that_work(guarded: Guarded, ending: str) -> None:
    response = await post(guarded, LOGIN, OAUTH2 + ending)
    answer = await response.json()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == AuthSettings().access_token_s
    assert (answer["user_id"], answer["application_id"]) == (ADA.id, PUBLIC_CLIENT.id)
    assert response.headers["Cache-Control"] == "no-store"
    assert (await tasks_with(guarded, answer["access_token"])).status == 200


async def test_a_form_does_as_well_as_json(guarded: Guarded) -> None:
    response = await guarded.service.client.post(OAUTH2, data=LOGIN)
    assert response.status == 200


async def test_the_email_is_taken_in_any_case(guarded: Guarded) -> None:
    assert (await logged_in(guarded, {**LOGIN, "username": "ADA@Example.com"}))["user_id"] == ADA.id


async def test_an_application_logs_in_for_itself(guarded: Guarded) -> None:
    answer = await logged_in(guarded, SERVICE)
    assert "refresh_token" not in answer
    assert "user_id" not in answer
    assert (await tasks_with(guarded, answer["access_token"])).status == 200
    refused = await guarded.service.client.get(
        "/users/v1/me", headers={"Authorization": f"Bearer {answer['access_token']}"}
    )
    await assert_error(refused, 104)


async def test_a_secret_comes_in_the_body_or_as_basic_or_both(guarded: Guarded) -> None:
    basic = encode_basic_auth(CLIENT.key, SECRET)
    for body in (SERVICE, {"grant_type": "client_credentials"}):
        assert (await post(guarded, body, headers={"Authorization": basic})).status == 200
    other = {**SERVICE, "client_id": PUBLIC_CLIENT.key}
    await assert_oauth2_error(await post(guarded, other, headers={"Authorization": basic}), "invalid_request")
    await assert_oauth2_error(await post(guarded, {}, headers={"Authorization": "Basic ?"}), "invalid_request")


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"password": "wrong"}, "invalid_grant", 106),
        ({"username": "nobody@example.com"}, "invalid_grant", 106),
        ({"password": "x" * 2000}, "invalid_grant", 106),
        ({"password": "\ud800"}, "invalid_request", 22),
        ({"password": ""}, "invalid_request", None),
        ({"password": ["x"]}, "invalid_request", None),
        ({"client_id": "nobody"}, "invalid_client", 123),
        ({"client_id": ""}, "invalid_client", 126),
        ({"client_id": CONSUMER.key}, "invalid_client", 123),
        ({"client_id": CLIENT.key}, "invalid_client", 126),
        ({"client_id": CLIENT.key, "client_secret": "wrong"}, "invalid_client", 124),
        ({"grant_type": "mfa"}, "unsupported_grant_type", None),
        ({"grant_type": ""}, "invalid_request", None),
        ({"grant_type": "client_credentials"}, "unauthorized_client", None),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant", 119),
    ],
    ids=range(15),
)
async def test_what_is_wrong_with_a_login_is_told(
    guarded: Guarded, change: dict[str, Any], error: str, code: int | None
) -> None:
    response = await post(guarded, {**LOGIN, **change})
    await assert_oauth2_error(response, error, code)
    assert PASSWORD not in await response.text()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"null", b'"x"'])
async def test_a_body_that_is_no_login_is_refused(guarded: Guarded, body: bytes) -> None:
    response = await guarded.service.client.post(OAUTH2, data=body)
    await assert_oauth2_error(response, "invalid_request", 22 if body else 13)


async def test_a_refresh_token_gives_new_tokens_to_its_application_alone(guarded: Guarded) -> None:
    refresh_token = (await logged_in(guarded))["refresh_token"]
    body = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": PUBLIC_CLIENT.key}
    assert (await logged_in(guarded, body))["user_id"] == ADA.id
    other = {**body, "client_id": CLIENT.key, "client_secret": SECRET}
    await assert_oauth2_error(await post(guarded, other), "invalid_grant", 119)
    guarded.clock.advance(AuthSettings().refresh_token_s * 1000)
    await assert_oauth2_error(await post(guarded, body), "invalid_grant", 120)


async def test_an_access_token_expires_also_if_it_was_used_before(guarded: Guarded) -> None:
    token = (await logged_in(guarded))["access_token"]
    guarded.clock.advance(AuthSettings().access_token_s * 1000 - 1)
    assert (await tasks_with(guarded, token)).status == 200
    guarded.clock.advance(1)
    await assert_error(await tasks_with(guarded, token), 118)


async def test_a_refresh_token_is_no_access_token(guarded: Guarded) -> None:
    await assert_error(await tasks_with(guarded, (await logged_in(guarded))["refresh_token"]), 117)


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer x", "Bearer taskd_access_x.y", "Basic eDp5", "x", ""])
async def test_credentials_that_prove_nothing_are_refused(guarded: Guarded, authorization: str) -> None:
    response = await guarded.service.client.get("/tasks/v1", headers={"Authorization": authorization})
    await assert_error(response, 117)


async def test_logins_end_with_their_user_generation_application_and_key(guarded: Guarded) -> None:
    newer = replace(EVERYBODY, users=(replace(ADA, generation=1), BOB))
    without_user = replace(EVERYBODY, users=(BOB,))
    without_app = replace(EVERYBODY, applications=(CONSUMER,))
    for accounts in (newer, without_user, without_app):
        guarded.change(EVERYBODY)
        login = await logged_in(guarded)
        assert (await tasks_with(guarded, login["access_token"])).status == 200
        guarded.change(accounts)
        await assert_error(await tasks_with(guarded, login["access_token"]), 117)
        body = {"grant_type": "refresh_token", "refresh_token": login["refresh_token"], "client_id": PUBLIC_CLIENT.key}
        assert (await post(guarded, body)).status in (400, 401)
    guarded.change(EVERYBODY)
    token = (await logged_in(guarded))["access_token"]
    signing_key.rotate_key(guarded.accounts_file.parent)
    guarded.auth.reload()
    await assert_error(await tasks_with(guarded, token), 117)


async def test_a_broken_file_leaves_the_accounts_as_they_were(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    token = (await logged_in(guarded))["access_token"]
    guarded.accounts_file.write_text("[[users")
    guarded.auth.reload()
    assert "The accounts stay as they were" in caplog.text
    assert (await tasks_with(guarded, token)).status == 200
    guarded.change(EVERYBODY)
    guarded.accounts_file.chmod(0o644)
    guarded.auth.reload()
    assert "chmod 600" in caplog.text
    assert (await tasks_with(guarded, token)).status == 200


async def test_api_tokens_are_narrowed_expire_and_are_revoked(guarded: Guarded) -> None:
    owner = holder(100, "VIEW_TASKS", "EXECUTE_TASK_FUNCTION")
    narrow = replace(owner.kept, permissions=("EXECUTE_TASK_FUNCTION:reports",))
    short = replace(owner.kept, expiry_ms=guarded.clock() + 1000)
    guarded.change(with_holders(EVERYBODY, owner))
    assert (await tasks_with(guarded, owner.token)).status == 200
    guarded.change(with_holders(EVERYBODY, replace(owner, kept=narrow)))
    await assert_error(await tasks_with(guarded, owner.token), 10)
    execute = "/tasks/v1/functions/{}/execute"
    headers = {"Authorization": f"Bearer {owner.token}"}
    await assert_error(await guarded.service.client.post(execute.format("reports"), headers=headers), 16)
    await assert_error(await guarded.service.client.post(execute.format("other"), headers=headers), 10)
    guarded.change(with_holders(EVERYBODY, replace(owner, kept=short)))
    assert (await tasks_with(guarded, owner.token)).status == 200
    guarded.clock.advance(1000)
    await assert_error(await tasks_with(guarded, owner.token), 118)
    guarded.change(EVERYBODY)
    await assert_error(await tasks_with(guarded, owner.token), 117)


async def test_guessing_passwords_is_slowed_down_with_a_time_to_wait(guarded: Guarded) -> None:
    wrong = {**LOGIN, "password": "wrong"}
    refusals = [await post(guarded, wrong) for _ in range(PER_ACCOUNT.burst + 1)]
    assert [response.status for response in refusals] == [400] * PER_ACCOUNT.burst + [429]
    await assert_error(refusals[-1], 1429)
    assert refusals[-1].headers["Retry-After"] == str(PER_ACCOUNT.interval_ms // 1000)
    assert (await post(guarded, LOGIN)).status == 429
    assert (await post(guarded, {**LOGIN, "username": BOB.email})).status == 200
    guarded.clock.advance(PER_ACCOUNT.interval_ms)
    assert (await post(guarded, LOGIN)).status == 200


async def test_guesses_at_the_same_time_are_slowed_down_as_well(guarded: Guarded) -> None:
    wrong = {**LOGIN, "password": "wrong"}
    responses = await asyncio.gather(*(post(guarded, wrong) for _ in range(30)))
    assert sum(response.status == 400 for response in responses) == PER_ACCOUNT.burst


@pytest.mark.parametrize("ending", ["", "/"])
async def test_an_oauth1_login_gives_a_token_that_signs(guarded: Guarded, ending: str) -> None:
    headers = await sign(guarded, "POST", OAUTH1 + ending)
    body = {"email": ADA.email, "password": PASSWORD}
    login = await (await post(guarded, body, OAUTH1 + ending, headers=headers)).json()
    assert (login["userId"], login["applicationId"]) == (ADA.id, CONSUMER.id)
    assert login["id"]
    path = "/users/v1/me" + ending
    headers = await sign(guarded, "GET", path, login["token"], login["tokenSecret"])
    me = await (await guarded.service.client.get(path, headers=headers)).json()
    assert (me["id"], me["email"], me["first_name"], me["last_name"]) == (ADA.id, ADA.email, "Ada", "Lovelace")
    assert [role["name"] for role in me["roles"]] == ["operators"]


async def test_an_oauth1_token_outlives_a_restart_and_ends_with_its_user(guarded: Guarded) -> None:
    login = await (await oauth1_login(guarded)).json()
    guarded.auth.reload()
    headers = await sign(guarded, "GET", "/users/v1/me", login["token"], login["tokenSecret"])
    assert (await guarded.service.client.get("/users/v1/me", headers=headers)).status == 200
    guarded.change(replace(EVERYBODY, users=(replace(ADA, generation=1),)))
    headers = await sign(guarded, "GET", "/users/v1/me", login["token"], login["tokenSecret"])
    await assert_error(await guarded.service.client.get("/users/v1/me", headers=headers), 108)


async def test_what_is_wrong_with_an_oauth1_login_is_told(guarded: Guarded) -> None:
    body = {"email": ADA.email, "password": PASSWORD}
    await assert_error(await post(guarded, body, OAUTH1), 101)
    await assert_error(await oauth1_login(guarded, password="wrong"), 106)
    await assert_error(await oauth1_login(guarded, email="nobody@example.com"), 106)
    forged = await sign(guarded, "POST", OAUTH1, consumer_secret="guessed")
    await assert_error(await post(guarded, body, OAUTH1, headers=forged), 109)
    headers = await sign(guarded, "POST", OAUTH1)
    assert (await post(guarded, body, OAUTH1, headers=headers)).status == 200
    await assert_error(await post(guarded, body, OAUTH1, headers=headers), 110)
    await assert_error(await post(guarded, {}, OAUTH1, headers=await sign(guarded, "POST", OAUTH1)), 14)
    untyped = {"email": ADA.email, "password": 5}
    await assert_error(await post(guarded, untyped, OAUTH1, headers=await sign(guarded, "POST", OAUTH1)), 15)


async def test_a_task_says_who_made_it(guarded: Guarded) -> None:
    token = (await logged_in(guarded))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    created = await guarded.service.client.post("/tasks/v1", json={"functionName": "f"}, headers=headers)
    task = await created.json()
    assert (task["createdByUserId"], task["createdByApplicationId"]) == (ADA.id, PUBLIC_CLIENT.id)
