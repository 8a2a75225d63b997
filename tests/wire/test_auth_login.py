"""Logging in over HTTP: every grant, every refusal in its own words, and what ends a login."""

import asyncio
import logging
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
from support.auth.service import SecuredService, secured_service
from support.http.error_shape import assert_error
from support.http.raw import send_raw

from taskd.auth import signing_key
from taskd.auth.login_throttle import PER_PAIR
from taskd.auth.settings import AuthSettings

OAUTH2 = "/auth/v2/oauth2/tokens"
OAUTH1 = "/auth/v2/oauth1/tokens"
LOGIN = {"grant_type": "password", "username": ADA.email, "password": PASSWORD, "client_id": PUBLIC_CLIENT.key}
SERVICE = {"grant_type": "client_credentials", "client_id": CLIENT.key, "client_secret": SECRET}


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path) as secured:
        yield secured


async def post(secured: SecuredService, body: object, path: str = OAUTH2, **options: Any) -> ClientResponse:
    response = await secured.service.client.post(path, json=body, **options)
    await response.read()
    return response


async def logged_in(secured: SecuredService, body: dict[str, str] = LOGIN) -> dict[str, Any]:
    response = await post(secured, body)
    assert response.status == 200, await response.text()
    return dict(await response.json())


async def tasks_with(secured: SecuredService, token: str, **headers: str) -> ClientResponse:
    return await secured.service.client.get("/tasks/v1", headers={"Authorization": f"Bearer {token}", **headers})


async def assert_oauth2_error(response: ClientResponse, error: str, code: int | None = None) -> None:
    answer = await response.json()
    assert answer["error"] == error, answer
    assert answer["error_description"]
    assert response.status == (401 if error == "invalid_client" else 400)
    assert ("WWW-Authenticate" in response.headers) == (error == "invalid_client")
    assert answer.get("exh_error", {}).get("code") == code
    assert response.headers["Cache-Control"] == "no-store"


async def sign(
    secured: SecuredService, method: str, path: str, token: str = "", secret: str = "", **options: Any
) -> dict[str, str]:
    """The headers of a signed request to ``path``."""
    timestamp = str(secured.clock() // 1000)
    client = Client(CONSUMER.key, options.get("consumer_secret", CONSUMER.secret), token, secret, timestamp=timestamp)
    return dict(client.sign(secured.service.url + path, method)[1])


async def oauth1_login(secured: SecuredService, email: str = ADA.email, password: str = PASSWORD) -> ClientResponse:
    headers = await sign(secured, "POST", OAUTH1)
    return await post(secured, {"email": email, "password": password}, OAUTH1, headers=headers)


SIGNED = (
    b'OAuth oauth_consumer_key="consumer", oauth_nonce="1", oauth_signature_method="HMAC-SHA1", '
    b'oauth_timestamp="%d", oauth_signature="%s"'
)


@pytest.mark.parametrize("path", [b"/tasks/v1", OAUTH1.encode(), OAUTH2.encode(), b"/users/v1/me"])
@pytest.mark.parametrize("signature", [b"\xff", b"%FF", b"%ED%B3%BF", b"%C3%A9", b"%00"])
async def test_credentials_that_are_no_text_are_refused_without_noise(
    secured: SecuredService, path: bytes, signature: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = secured.clock() // 1000
    for credentials in (SIGNED % (now_s, signature), b"Basic " + signature, b"Bearer " + signature, signature):
        head = b"POST" if path.startswith(b"/auth") else b"GET"
        head += b" " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: " + credentials
        answer = await send_raw(secured.service.url, head + b"\r\nContent-Length: 2\r\n\r\n{}")
        assert answer.startswith(b"HTTP/1.1 4"), answer
        assert b'"code"' in answer or b'"error"' in answer
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(line.startswith("signature_failed address=127.0.0.1 application=") for line in told)
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize("ending", ["", "/"])
async def test_a_password_gives_tokens_that_work(secured: SecuredService, ending: str) -> None:
    response = await post(secured, LOGIN, OAUTH2 + ending)
    answer = await response.json()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == AuthSettings().access_token_s
    assert (answer["user_id"], answer["application_id"]) == (ADA.id, PUBLIC_CLIENT.id)
    assert response.headers["Cache-Control"] == "no-store"
    assert (await tasks_with(secured, answer["access_token"])).status == 200


async def test_a_form_does_as_well_as_json(secured: SecuredService) -> None:
    response = await secured.service.client.post(OAUTH2, data=LOGIN)
    assert response.status == 200


async def test_the_email_is_taken_in_any_case(secured: SecuredService) -> None:
    assert (await logged_in(secured, {**LOGIN, "username": "ADA@Example.com"}))["user_id"] == ADA.id


async def test_an_application_logs_in_for_itself(secured: SecuredService) -> None:
    answer = await logged_in(secured, SERVICE)
    assert "refresh_token" not in answer
    assert "user_id" not in answer
    assert (await tasks_with(secured, answer["access_token"])).status == 200
    refused = await secured.service.client.get(
        "/users/v1/me", headers={"Authorization": f"Bearer {answer['access_token']}"}
    )
    await assert_error(refused, 104)


async def test_a_secret_comes_in_the_body_or_as_basic_or_both(secured: SecuredService) -> None:
    basic = encode_basic_auth(CLIENT.key, SECRET)
    for body in (SERVICE, {"grant_type": "client_credentials"}):
        assert (await post(secured, body, headers={"Authorization": basic})).status == 200
    other = {**SERVICE, "client_id": PUBLIC_CLIENT.key}
    await assert_oauth2_error(await post(secured, other, headers={"Authorization": basic}), "invalid_request")
    await assert_oauth2_error(await post(secured, {}, headers={"Authorization": "Basic ?"}), "invalid_request")


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"password": "wrong"}, "invalid_grant", 106),
        ({"username": "nobody@example.com"}, "invalid_grant", 106),
        ({"password": "x" * 2000}, "invalid_grant", 106),
        ({"password": PASSWORD + "\0"}, "invalid_grant", 106),
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
    ids=range(16),
)
async def test_what_is_wrong_with_a_login_is_told(
    secured: SecuredService, change: dict[str, Any], error: str, code: int | None
) -> None:
    response = await post(secured, {**LOGIN, **change})
    await assert_oauth2_error(response, error, code)
    assert PASSWORD not in await response.text()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"null", b'"x"'])
async def test_a_body_that_is_no_login_is_refused(secured: SecuredService, body: bytes) -> None:
    response = await secured.service.client.post(OAUTH2, data=body)
    await assert_oauth2_error(response, "invalid_request", 22 if body else 13)


async def test_a_refresh_token_gives_new_tokens_to_its_application_alone(secured: SecuredService) -> None:
    refresh_token = (await logged_in(secured))["refresh_token"]
    body = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": PUBLIC_CLIENT.key}
    assert (await logged_in(secured, body))["user_id"] == ADA.id
    other = {**body, "client_id": CLIENT.key, "client_secret": SECRET}
    await assert_oauth2_error(await post(secured, other), "invalid_grant", 119)
    secured.clock.advance(AuthSettings().refresh_token_s * 1000)
    await assert_oauth2_error(await post(secured, body), "invalid_grant", 120)


async def test_an_access_token_expires_also_if_it_was_used_before(secured: SecuredService) -> None:
    token = (await logged_in(secured))["access_token"]
    secured.clock.advance(AuthSettings().access_token_s * 1000 - 1)
    assert (await tasks_with(secured, token)).status == 200
    secured.clock.advance(1)
    await assert_error(await tasks_with(secured, token), 118)


async def test_a_refresh_token_is_no_access_token(secured: SecuredService) -> None:
    await assert_error(await tasks_with(secured, (await logged_in(secured))["refresh_token"]), 117)


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer x", "Bearer taskd_access_x.y", "Basic eDp5", "x", ""])
async def test_credentials_that_prove_nothing_are_refused(secured: SecuredService, authorization: str) -> None:
    response = await secured.service.client.get("/tasks/v1", headers={"Authorization": authorization})
    await assert_error(response, 117)


async def test_logins_end_with_their_user_generation_application_and_key(secured: SecuredService) -> None:
    newer = replace(EVERYBODY, users=(replace(ADA, generation=1), BOB))
    without_user = replace(EVERYBODY, users=(BOB,))
    without_app = replace(EVERYBODY, applications=(CONSUMER,))
    for accounts in (newer, without_user, without_app):
        secured.change(EVERYBODY)
        login = await logged_in(secured)
        assert (await tasks_with(secured, login["access_token"])).status == 200
        secured.change(accounts)
        await assert_error(await tasks_with(secured, login["access_token"]), 117)
        body = {"grant_type": "refresh_token", "refresh_token": login["refresh_token"], "client_id": PUBLIC_CLIENT.key}
        assert (await post(secured, body)).status in (400, 401)
    secured.change(EVERYBODY)
    token = (await logged_in(secured))["access_token"]
    signing_key.rotate_key(secured.accounts_file.parent)
    secured.auth.reload()
    await assert_error(await tasks_with(secured, token), 117)


async def test_a_broken_file_leaves_the_accounts_as_they_were(
    secured: SecuredService, caplog: pytest.LogCaptureFixture
) -> None:
    token = (await logged_in(secured))["access_token"]
    secured.accounts_file.write_text("[[users")
    secured.auth.reload()
    assert "The accounts stay as they were" in caplog.text
    assert (await tasks_with(secured, token)).status == 200
    secured.change(EVERYBODY)
    secured.accounts_file.chmod(0o644)
    secured.auth.reload()
    assert "chmod 600" in caplog.text
    assert (await tasks_with(secured, token)).status == 200


async def test_api_tokens_are_narrowed_expire_and_are_revoked(secured: SecuredService) -> None:
    owner = holder(100, "VIEW_TASKS", "EXECUTE_TASK_FUNCTION")
    narrow = replace(owner.kept, permissions=("EXECUTE_TASK_FUNCTION:reports",))
    short = replace(owner.kept, expiry_ms=secured.clock() + 1000)
    secured.change(with_holders(EVERYBODY, owner))
    assert (await tasks_with(secured, owner.token)).status == 200
    secured.change(with_holders(EVERYBODY, replace(owner, kept=narrow)))
    await assert_error(await tasks_with(secured, owner.token), 10)
    execute = "/tasks/v1/functions/{}/execute"
    headers = {"Authorization": f"Bearer {owner.token}"}
    await assert_error(await secured.service.client.post(execute.format("reports"), headers=headers), 16)
    await assert_error(await secured.service.client.post(execute.format("other"), headers=headers), 10)
    secured.change(with_holders(EVERYBODY, replace(owner, kept=short)))
    assert (await tasks_with(secured, owner.token)).status == 200
    secured.clock.advance(1000)
    await assert_error(await tasks_with(secured, owner.token), 118)
    secured.change(EVERYBODY)
    await assert_error(await tasks_with(secured, owner.token), 117)


async def test_guessing_passwords_is_slowed_down_with_a_time_to_wait(secured: SecuredService) -> None:
    wrong = {**LOGIN, "password": "wrong"}
    refusals = [await post(secured, wrong) for _ in range(PER_PAIR.burst + 1)]
    assert [response.status for response in refusals] == [400] * PER_PAIR.burst + [429]
    await assert_error(refusals[-1], 1429)
    assert refusals[-1].headers["Retry-After"] == str(PER_PAIR.interval_ms // 1000)
    assert (await post(secured, LOGIN)).status == 429
    assert (await post(secured, {**LOGIN, "username": BOB.email})).status == 200
    secured.clock.advance(PER_PAIR.interval_ms)
    assert (await post(secured, LOGIN)).status == 200


async def test_a_wrong_password_of_somebody_elsewhere_locks_nobody_out(secured: SecuredService) -> None:
    wrong, elsewhere = {**LOGIN, "password": "wrong"}, {"X-Forwarded-For": "192.0.2.1"}
    statuses = [(await post(secured, wrong, headers=elsewhere)).status for _ in range(PER_PAIR.burst + 1)]
    assert statuses[-1] == 429
    assert (await post(secured, LOGIN, headers=elsewhere)).status == 429
    assert (await post(secured, LOGIN)).status == 200


async def test_a_failed_login_is_logged_with_its_address_and_without_what_was_typed(
    secured: SecuredService, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}
    await post(secured, {**LOGIN, "password": "wr0ng secret"}, headers=elsewhere)
    await post(secured, {**LOGIN, "username": "hunter2 in the wrong field"}, headers=elsewhere)
    await logged_in(secured)
    logged = [record.getMessage() for record in caplog.records if "login" in record.getMessage()]
    assert logged == [f"login_failed address=192.0.2.1 user={who}" for who in (ADA.email, "unknown")]


async def test_guesses_at_the_same_time_are_slowed_down_as_well(secured: SecuredService) -> None:
    wrong = {**LOGIN, "password": "wrong"}
    responses = await asyncio.gather(*(post(secured, wrong) for _ in range(30)))
    assert sum(response.status == 400 for response in responses) == PER_PAIR.burst


@pytest.mark.parametrize("ending", ["", "/"])
async def test_an_oauth1_login_gives_a_token_that_signs(secured: SecuredService, ending: str) -> None:
    headers = await sign(secured, "POST", OAUTH1 + ending)
    body = {"email": ADA.email, "password": PASSWORD}
    login = await (await post(secured, body, OAUTH1 + ending, headers=headers)).json()
    assert (login["userId"], login["applicationId"]) == (ADA.id, CONSUMER.id)
    assert login["id"]
    path = "/users/v1/me" + ending
    headers = await sign(secured, "GET", path, login["token"], login["tokenSecret"])
    me = await (await secured.service.client.get(path, headers=headers)).json()
    assert (me["id"], me["email"], me["first_name"], me["last_name"]) == (ADA.id, ADA.email, "Ada", "Lovelace")
    assert [role["name"] for role in me["roles"]] == ["operators"]


async def test_an_oauth1_token_outlives_a_restart_and_ends_with_its_user(secured: SecuredService) -> None:
    login = await (await oauth1_login(secured)).json()
    secured.auth.reload()
    headers = await sign(secured, "GET", "/users/v1/me", login["token"], login["tokenSecret"])
    assert (await secured.service.client.get("/users/v1/me", headers=headers)).status == 200
    secured.change(replace(EVERYBODY, users=(replace(ADA, generation=1),)))
    headers = await sign(secured, "GET", "/users/v1/me", login["token"], login["tokenSecret"])
    await assert_error(await secured.service.client.get("/users/v1/me", headers=headers), 108)


async def test_what_is_wrong_with_an_oauth1_login_is_told(secured: SecuredService) -> None:
    body = {"email": ADA.email, "password": PASSWORD}
    await assert_error(await post(secured, body, OAUTH1), 101)
    await assert_error(await oauth1_login(secured, password="wrong"), 106)
    await assert_error(await oauth1_login(secured, email="nobody@example.com"), 106)
    forged = await sign(secured, "POST", OAUTH1, consumer_secret="guessed")
    await assert_error(await post(secured, body, OAUTH1, headers=forged), 109)
    headers = await sign(secured, "POST", OAUTH1)
    assert (await post(secured, body, OAUTH1, headers=headers)).status == 200
    await assert_error(await post(secured, body, OAUTH1, headers=headers), 110)
    await assert_error(await post(secured, {}, OAUTH1, headers=await sign(secured, "POST", OAUTH1)), 14)
    untyped = {"email": ADA.email, "password": 5}
    await assert_error(await post(secured, untyped, OAUTH1, headers=await sign(secured, "POST", OAUTH1)), 15)


async def test_a_task_says_who_made_it(secured: SecuredService) -> None:
    token = (await logged_in(secured))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    created = await secured.service.client.post("/tasks/v1", json={"functionName": "f"}, headers=headers)
    task = await created.json()
    assert (task["createdByUserId"], task["createdByApplicationId"]) == (ADA.id, PUBLIC_CLIENT.id)
