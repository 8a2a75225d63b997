"""Where nobody is asked who they are: clients that log in first are not kept from going on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from oauthlib.oauth1 import Client
from support.auth.accounts import ADA, CONSUMER, PASSWORD, PUBLIC_CLIENT, write_accounts
from support.daemon.process import running_daemon

LOGIN = {"email": "whoever@example.com", "password": "whatever"}


@pytest.fixture
async def open_daemon(tmp_path: Path) -> AsyncIterator[str]:
    write_accounts(tmp_path / "data" / "auth.toml")
    async with running_daemon(tmp_path, '[auth]\nmode = "disabled"\n') as daemon:
        yield daemon.url


async def call(url: str, method: str, path: str, client: Client | None, body: Any = None) -> Any:
    headers = client.sign(f"{url}{path}", method)[1] if client else {}
    async with ClientSession() as session, session.request(method, url + path, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_what_exh_does_to_log_in_works_whatever_it_sends(open_daemon: str) -> None:
    login = await call(open_daemon, "POST", "/auth/v2/oauth1/tokens", Client("any key", "any secret"), LOGIN)
    client = Client("any key", "any secret", login["token"], login["tokenSecret"])
    me = await call(open_daemon, "GET", "/users/v1/me", client)
    assert me["id"] == login["userId"]
    assert me["roles"] == []
    assert (await call(open_daemon, "GET", "/tasks/v1/functions", client))["data"] == []
    assert (await call(open_daemon, "GET", "/users/v1/roles", client))["page"]["total"] == 1


async def test_so_does_an_oauth2_login_and_asking_who_one_is_without_any(open_daemon: str) -> None:
    body = {"grant_type": "password", "username": "x", "password": "y", "client_id": "z"}
    tokens = await call(open_daemon, "POST", "/auth/v2/oauth2/tokens", None, body)
    assert tokens["token_type"] == "Bearer"
    assert (await call(open_daemon, "GET", "/users/v1/me", None))["id"] == tokens["user_id"]


async def test_who_proves_to_be_somebody_is_told_so(open_daemon: str) -> None:
    body = {"email": ADA.email, "password": PASSWORD}
    login = await call(open_daemon, "POST", "/auth/v2/oauth1/tokens", Client(CONSUMER.key, CONSUMER.secret), body)
    assert login["userId"] == ADA.id
    client = Client(CONSUMER.key, CONSUMER.secret, login["token"], login["tokenSecret"])
    assert (await call(open_daemon, "GET", "/users/v1/me", client))["email"] == ADA.email
    body = {"grant_type": "password", "username": ADA.email, "password": PASSWORD, "client_id": PUBLIC_CLIENT.key}
    assert (await call(open_daemon, "POST", "/auth/v2/oauth2/tokens", None, body))["user_id"] == ADA.id
