"""Programs that show wrong secrets: they are slowed down and logged, and lock nobody else out."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from oauthlib.oauth1 import Client
from support.auth.accounts import CLIENT, CONSUMER, SECRET
from support.auth.service import SecuredService, secured_service
from support.clocks import FakeClock
from support.http.error_shape import assert_error

from taskd.auth.credential_throttle import LOGGED, PER_PLACE, CredentialThrottle
from taskd.model import errors
from taskd.model.errors import ContractError

OAUTH2 = "/auth/v2/oauth2/tokens"
SERVICE = {"grant_type": "client_credentials", "client_id": CLIENT.key, "client_secret": SECRET}
ELSEWHERE = {"X-Forwarded-For": "192.0.2.1"}
TYPED = "hunter2 of\r\nsomebody"


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path) as secured:
        yield secured


async def log_in(secured: SecuredService, headers: dict[str, str], **changed: str) -> ClientResponse:
    response = await secured.service.client.post(OAUTH2, json={**SERVICE, **changed}, headers=headers)
    await response.read()
    return response


async def call_signed(secured: SecuredService, headers: dict[str, str], **changed: Any) -> ClientResponse:
    """A signed call; the application may see no tasks, which it is told once its signature is right."""
    client = Client(
        changed.get("key", CONSUMER.key),
        changed.get("secret", CONSUMER.secret),
        timestamp=str(secured.clock() // 1000),
        nonce=changed.get("nonce"),
    )
    signed = dict(client.sign(f"{secured.service.url}/tasks/v1", "GET")[1])
    response = await secured.service.client.get("/tasks/v1", headers={**signed, **headers})
    await response.read()
    return response


async def test_guessing_a_client_secret_is_slowed_down_with_a_time_to_wait(secured: SecuredService) -> None:
    statuses = [(await log_in(secured, ELSEWHERE, client_secret="wrong")).status for _ in range(PER_PLACE.burst + 1)]
    assert statuses == [401] * PER_PLACE.burst + [429]
    refused = await log_in(secured, ELSEWHERE)
    await assert_error(refused, 1429)
    assert refused.headers["Retry-After"] == str(PER_PLACE.interval_ms // 1000)
    assert (await log_in(secured, {})).status == 200, "others are not held up"
    secured.clock.advance(PER_PLACE.interval_ms)
    assert (await log_in(secured, ELSEWHERE)).status == 200


async def test_a_client_that_was_right_is_heard_whoever_guesses_beside_it(secured: SecuredService) -> None:
    assert (await log_in(secured, ELSEWHERE)).status == 200
    statuses = {(await log_in(secured, ELSEWHERE, client_secret="wrong")).status for _ in range(PER_PLACE.burst + 1)}
    assert statuses == {401, 429}
    assert (await log_in(secured, ELSEWHERE)).status == 200


async def test_guessing_client_ids_is_slowed_down_and_holds_up_no_client(secured: SecuredService) -> None:
    statuses = [
        (await log_in(secured, ELSEWHERE, client_id=f"guess {number}")).status for number in range(PER_PLACE.burst + 1)
    ]
    assert statuses == [401] * PER_PLACE.burst + [429]
    assert (await log_in(secured, ELSEWHERE)).status == 200


async def test_wrong_signatures_are_slowed_down_and_lock_nobody_out(secured: SecuredService) -> None:
    assert (await call_signed(secured, {})).status == 401
    for _ in range(PER_PLACE.burst):
        await assert_error(await call_signed(secured, ELSEWHERE, secret="wrong"), 109)
    await assert_error(await call_signed(secured, ELSEWHERE, secret="wrong"), 1429)
    await assert_error(await call_signed(secured, ELSEWHERE), 1429)
    await assert_error(await call_signed(secured, {}), 10)
    for _ in range(PER_PLACE.burst + 1):
        await call_signed(secured, {}, secret="wrong")
    await assert_error(await call_signed(secured, {}), 10)


async def test_what_was_wrong_is_logged_without_what_was_sent(
    secured: SecuredService, caplog: pytest.LogCaptureFixture
) -> None:
    await log_in(secured, ELSEWHERE, client_secret=TYPED)
    await log_in(secured, ELSEWHERE, client_id=TYPED)
    await call_signed(secured, ELSEWHERE, secret=TYPED)
    await call_signed(secured, ELSEWHERE, key=TYPED)
    await secured.service.client.get("/tasks/v1", headers={**ELSEWHERE, "Authorization": "OAuth nonsense"})
    await call_signed(secured, ELSEWHERE, nonce="1")
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line for line in lines if "_failed" in line] == [
        f"client_failed address=192.0.2.1 application={CLIENT.id}",
        "client_failed address=192.0.2.1 application=unknown",
        f"signature_failed address=192.0.2.1 application={CONSUMER.id}: {errors.OAUTH1_SIGNATURE.name}",
        f"signature_failed address=192.0.2.1 application=unknown: {errors.OAUTH1_KEY.name}",
        f"signature_failed address=192.0.2.1 application=unknown: {errors.OAUTH1_SIGNATURE.name}",
    ]


def test_one_that_goes_on_and_on_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    throttle = CredentialThrottle(clock)
    throttle.right("place")
    refused = 0
    for _ in range(100):
        try:
            throttle.wrong("place", "line")
        except ContractError:
            refused += 1
    assert refused == 100 - PER_PLACE.burst
    assert [record.getMessage() for record in caplog.records] == ["line"] * LOGGED.burst
    clock.advance(LOGGED.interval_ms)
    throttle.wrong("place", "line")
    assert caplog.records[-1].getMessage() == f"line (and {100 - LOGGED.burst} not logged)"
