"""The published SDK logs in in every way it has, and goes on when tokens expire; so does `exh`, built on it."""

from pathlib import Path

import pytest
from support.auth.accounts import ADA, CLIENT, CONSUMER, PASSWORD, PUBLIC_CLIENT, SECRET, write_accounts
from support.auth.sdk_accounts import write_sdk_accounts
from support.daemon.process import running_daemon
from support.functions.node_project import installed_project

from taskd.auth.signing_key import load_key

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("area", ["auth", "cli", "credentials", "users", "dispatchers"])
async def test_the_sdk_logs_in_and_goes_on(area: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, accounts = tmp_path / "data", tmp_path / "accounts.json"
    write_accounts(data / "auth.toml")
    write_sdk_accounts(accounts, ADA, PUBLIC_CLIENT, CONSUMER, (CLIENT.key, SECRET), load_key(data))
    monkeypatch.setenv("TASKD_TEST_ACCOUNTS", str(accounts))
    async with running_daemon(tmp_path, '[auth]\nmode = "required"\n') as daemon:
        await installed_project().run(area, daemon.url, tmp_path)
        written = daemon.log.read_text() + (tmp_path / f"{area}.json").read_text()
    for secret in (PASSWORD, SECRET, CONSUMER.secret, "taskd_access_", "taskd_oauth1_"):
        assert secret not in written
