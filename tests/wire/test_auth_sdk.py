"""The published JavaScript SDK logs in in every way it has, and goes on when tokens expire."""

import base64
import io
import json
import zipfile
from pathlib import Path

import pytest
from support.auth.accounts import ADA, CLIENT, CONSUMER, PASSWORD, PUBLIC_CLIENT, SECRET, write_accounts
from support.daemon.process import running_daemon
from support.functions.node_project import installed_project

import taskd
from taskd.auth import tokens
from taskd.auth.signing_key import load_key
from taskd.auth.tokens import Claims, TokenKind

EXAMPLES = Path(taskd.__file__).parent / "examples"


async def test_the_sdk_logs_in_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    write_accounts(data / "auth.toml")
    expired = Claims("0" * 24, ADA.id, PUBLIC_CLIENT.id, ADA.generation, expiry_ms=1)
    accounts = {
        "email": ADA.email,
        "password": PASSWORD,
        "userId": ADA.id,
        "clientId": PUBLIC_CLIENT.key,
        "secretClient": {"clientId": CLIENT.key, "clientSecret": SECRET},
        "consumer": {"consumerKey": CONSUMER.key, "consumerSecret": CONSUMER.secret},
        "expiredToken": tokens.issue(load_key(data), TokenKind.ACCESS, expired),
        "zip": folder_zip(EXAMPLES / "hello-node"),
    }
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps(accounts))
    monkeypatch.setenv("TASKD_TEST_ACCOUNTS", str(path))
    async with running_daemon(tmp_path, '[auth]\nmode = "required"\n') as daemon:
        await installed_project().run("auth", daemon.url, tmp_path)
        written = daemon.log.read_text() + (tmp_path / "auth.json").read_text()
    for secret in (PASSWORD, SECRET, CONSUMER.secret, "taskd_access_", "taskd_oauth1_"):
        assert secret not in written


def folder_zip(folder: Path) -> str:
    """A folder as deployment tools send it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return base64.b64encode(buffer.getvalue()).decode()
