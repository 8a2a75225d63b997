"""Refreshing logins: tokens of public applications are used once, but for calls at the same time, over restarts too."""

import asyncio
import base64
import hmac
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from support.auth.accounts import ADA, BOB, CLIENT, PASSWORD, PUBLIC_CLIENT, SECRET, write_accounts
from support.auth.service import SecuredService, secured_service
from support.daemon.process import running_daemon

from taskd.auth import refresh_rotation
from taskd.auth.refresh_rotation import FAMILIES_MAX, FILE_NAME, GRACE_S, RefreshRotation
from taskd.auth.settings import AuthSettings
from taskd.auth.signing_key import load_key, rotate_key
from taskd.auth.tokens import Claims, TokenKind
from taskd.model import errors
from taskd.model.errors import ContractError

OAUTH2 = "/auth/v2/oauth2/tokens"
LOGIN = {"grant_type": "password", "username": ADA.email, "password": PASSWORD, "client_id": PUBLIC_CLIENT.key}
GRACE_MS = GRACE_S * 1000


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path) as secured:
        yield secured


async def answered(client: ClientSession, body: dict[str, str], url: str = "") -> tuple[int, dict[str, Any]]:
    async with client.post(url + OAUTH2, json=body) as response:
        return response.status, dict(await response.json())


async def logged_in(secured: SecuredService, **change: str) -> str:
    status, answer = await answered(secured.service.client, {**LOGIN, **change})
    assert status == 200, answer
    return str(answer["refresh_token"])


def refreshing(refresh_token: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": PUBLIC_CLIENT.key}


async def refreshed(secured: SecuredService, refresh_token: str) -> str | None:
    """The next refresh token; ``None`` if this one is not good."""
    status, answer = await answered(secured.service.client, refreshing(refresh_token))
    if status == 200:
        return str(answer["refresh_token"])
    assert (status, answer["error"]) == (400, "invalid_grant"), answer
    assert answer["exh_error"]["code"] == 119
    return None


async def test_each_refresh_gives_another_token(secured: SecuredService) -> None:
    chain: list[str | None] = [await logged_in(secured)]
    for _ in range(5):
        secured.clock.advance(10 * GRACE_MS)
        chain.append(await refreshed(secured, chain[-1] or ""))
    assert None not in chain
    assert len(set(chain)) == len(chain)


async def test_calls_at_the_same_time_get_the_same_token(secured: SecuredService) -> None:
    first = await logged_in(secured)
    successors = set(await asyncio.gather(*(refreshed(secured, first) for _ in range(50))))
    assert len(successors) == 1
    assert None not in successors


async def test_a_late_call_gets_the_same_token_until_a_minute_has_passed_also_if_that_was_used(
    secured: SecuredService,
) -> None:
    first = await logged_in(secured)
    second = await refreshed(secured, first)
    assert second is not None
    third = await refreshed(secured, second)
    secured.clock.advance(GRACE_MS - 1)
    assert await refreshed(secured, first) == second
    assert await refreshed(secured, second) == third


async def test_a_token_used_again_after_a_minute_ends_the_whole_login_and_no_other(
    secured: SecuredService, caplog: pytest.LogCaptureFixture
) -> None:
    first, other = await logged_in(secured), await logged_in(secured)
    second = await refreshed(secured, first)
    assert second is not None
    secured.clock.advance(GRACE_MS)
    assert await refreshed(secured, first) is None
    assert await refreshed(secured, second) is None
    assert await refreshed(secured, first) is None
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"refresh_token_reused user={ADA.id} application={PUBLIC_CLIENT.id}"]
    assert await refreshed(secured, other) is not None


async def test_what_was_used_is_known_after_a_restart(tmp_path: Path) -> None:
    async with secured_service(tmp_path) as secured:
        first = await logged_in(secured)
        second = await refreshed(secured, first)
        assert second is not None
        stolen = await logged_in(secured)
        kept = await refreshed(secured, stolen)
        assert kept is not None
    async with secured_service(tmp_path) as secured:
        assert await refreshed(secured, first) == second
        secured.clock.advance(GRACE_MS)
        assert await refreshed(secured, second) is not None
        assert await refreshed(secured, stolen) is None
    async with secured_service(tmp_path) as secured:
        assert await refreshed(secured, kept) is None


async def test_what_was_answered_is_known_after_a_kill(tmp_path: Path) -> None:
    write_accounts(tmp_path / "data" / "auth.toml")
    async with running_daemon(tmp_path, '[auth]\nmode = "required"\n') as daemon, ClientSession() as client:
        first = (await answered(client, LOGIN, daemon.url))[1]["refresh_token"]
        second = (await answered(client, refreshing(first), daemon.url))[1]["refresh_token"]
        await daemon.kill()
        await daemon.start()
        status, again = await answered(client, refreshing(second), daemon.url)
        assert status == 200
        assert again["refresh_token"] not in (first, second)
        assert (tmp_path / "data" / FILE_NAME).stat().st_mode & 0o077 == 0


async def test_a_token_of_an_earlier_release_is_replaced_like_any_other(secured: SecuredService) -> None:
    key, expiry_ms = load_key(secured.accounts_file.parent), secured.clock() + 10 * GRACE_MS
    said = msgspec.msgpack.encode(("a" * 24, ADA.id, PUBLIC_CLIENT.id, 0, expiry_ms))
    body = TokenKind.REFRESH + unpadded(said)
    old = f"{body}.{unpadded(hmac.digest(key, body.encode(), 'sha256'))}"
    assert await refreshed(secured, old) is not None
    secured.clock.advance(GRACE_MS)
    assert await refreshed(secured, old) is None


def unpadded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


async def test_an_application_with_a_secret_may_use_a_token_again(secured: SecuredService) -> None:
    client = {"client_id": CLIENT.key, "client_secret": SECRET}
    first = await logged_in(secured, **client)
    for _ in range(3):
        secured.clock.advance(GRACE_MS)
        status, _ = await answered(secured.service.client, {**refreshing(first), **client})
        assert status == 200
    assert not (secured.accounts_file.parent / FILE_NAME).exists()


async def test_a_clock_that_was_set_back_does_not_let_a_used_token_last(secured: SecuredService) -> None:
    first = await logged_in(secured)
    assert await refreshed(secured, first) is not None
    secured.clock.advance(-GRACE_MS)
    assert await refreshed(secured, first) is None


async def test_a_login_does_not_outlive_its_key_while_it_is_refreshed(secured: SecuredService) -> None:
    first = await logged_in(secured)
    path = secured.accounts_file.parent / FILE_NAME
    assert await refreshed(secured, await logged_in(secured)) is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(refreshed(secured, first))
        await asyncio.sleep(0)
        rotate_key(secured.accounts_file.parent)
        secured.auth.reload()
        other.execute("COMMIT")
    assert await waiting is None


async def test_a_file_that_cannot_be_used_is_said_and_refuses_nothing_else(
    secured: SecuredService, caplog: pytest.LogCaptureFixture
) -> None:
    first = await logged_in(secured)
    path = secured.accounts_file.parent / FILE_NAME
    path.write_text("no database" * 1000)
    status, answer = await answered(secured.service.client, refreshing(first))
    assert (status, answer["code"]) == (503, 1503)
    assert str(path) in caplog.text
    path.unlink()
    assert await refreshed(secured, first) is not None


def claims(number: int, user_id: str = ADA.id) -> Claims:
    return Claims(f"{number:024x}", user_id, PUBLIC_CLIENT.id, 0, expiry_ms=10**9)


async def test_what_is_kept_is_bounded_for_each_user_and_the_oldest_logins_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert FAMILIES_MAX >= 100
    monkeypatch.setattr(refresh_rotation, "FAMILIES_MAX", 3)
    rotation = RefreshRotation(tmp_path / FILE_NAME)
    of_bob = await rotation.successor(claims(1, BOB.id), 0, 10**9)
    successors = [await rotation.successor(claims(number), 0, 10**9) for number in range(2, 8)]
    for gone in (claims(2), claims(4), *successors[:3]):
        with pytest.raises(ContractError) as refusal:
            await rotation.successor(gone, 1, 10**9)
        assert refusal.value.kind is errors.REFRESH_TOKEN_UNKNOWN
    for kept in (of_bob, *successors[3:]):
        assert (await rotation.successor(kept, 1, 10**9)).number == 2
    rotation.close()


async def test_what_has_expired_is_forgotten(tmp_path: Path) -> None:
    rotation = RefreshRotation(tmp_path / FILE_NAME)
    for number in range(5):
        await rotation.successor(replace_expiry(claims(number), 100), 0, 200)
    await rotation.successor(claims(9), 200, 10**9)
    rotation.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT id FROM families").fetchall() == [(claims(9).id,)]
        assert connection.execute("SELECT family FROM uses").fetchall() == [(claims(9).id,)]


def replace_expiry(of: Claims, expiry_ms: int) -> Claims:
    return Claims(of.id, of.user_id, of.application_id, of.generation, expiry_ms)


async def test_one_of_two_processes_that_use_a_token_at_once_gets_what_the_other_gets(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    first, second = RefreshRotation(path), RefreshRotation(path)
    expiries = range(100, 120)
    found = await asyncio.gather(
        *(each.successor(claims(1), 0, expiry_ms) for expiry_ms in expiries for each in (first, second))
    )
    assert len({one.expiry_ms for one in found}) == 1
    first.close()
    second.close()


async def test_a_refreshed_login_still_expires(secured: SecuredService) -> None:
    second = await refreshed(secured, await logged_in(secured))
    assert second is not None
    secured.clock.advance(AuthSettings().refresh_token_s * 1000)
    status, answer = await answered(secured.service.client, refreshing(second))
    assert (status, answer["exh_error"]["code"]) == (400, 120)
