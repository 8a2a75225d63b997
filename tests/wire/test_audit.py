"""The audit trail: who did what is known afterwards, whatever way they took, and holds no secret."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from support.auth.accounts import (
    ADA,
    CLIENT,
    EVERYBODY,
    PASSWORD,
    PUBLIC_CLIENT,
    SECRET,
    holder,
    with_holders,
    write_accounts,
)
from support.auth.service import SecuredService, secured_service
from support.daemon.process import DaemonProcess, running_daemon
from support.http.error_shape import assert_error
from support.http.service import function_body

from taskd.audit.files import TrailFiles
from taskd.audit.search import read_part
from taskd.auth.header_files import HEADER_FILE, read_token
from taskd.cli import main
from taskd.cli.exit_codes import ExitCode

ALL, VIEWER, NOBODY = holder(101, "ALL"), holder(102, "VIEW_AUDIT"), holder(103, "VIEW_TASKS")
FUNCTIONS = "/tasks/v1/functions"
SECRETS = {"environmentVariables": {"KEY": {"value": "very secret"}}}
REQUIRED = '[auth]\nmode = "required"\n'


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path, with_holders(EVERYBODY, ALL, VIEWER, NOBODY)) as secured:
        yield secured


async def call(secured: SecuredService, method: str, path: str, body: object = None, token: str = ALL.token) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    async with secured.service.client.request(method, path, json=body, headers=headers) as response:
        return await response.json()


async def trail(secured: SecuredService, query: str = "") -> list[dict[str, Any]]:
    answer = await call(secured, "GET", f"/taskd/v1/audit?{query}", token=VIEWER.token)
    assert "data" in answer, answer
    return list(answer["data"])


async def did(secured: SecuredService) -> list[tuple[str, str, str]]:
    return [(entry["action"], entry["subjectId"], entry["outcome"]) for entry in await trail(secured, "limit(100)")]


async def test_what_changes_something_is_there_with_who_did_it_and_from_where(secured: SecuredService) -> None:
    later = {"functionName": "hello", "startTimestamp": "2199-01-01T00:00:00.000Z"}
    task = await call(secured, "POST", "/tasks/v1", later)
    await call(secured, "POST", f"/tasks/v1/{task['id']}/cancel")
    schedule = await call(secured, "POST", "/tasks/v1/schedules", {**later, "interval": 60})
    await call(secured, "DELETE", f"/tasks/v1/schedules/{schedule['id']}")
    await call(secured, "POST", FUNCTIONS, function_body())
    await call(secured, "PUT", f"{FUNCTIONS}/hello", {"description": "new", **SECRETS})
    await call(secured, "POST", f"{FUNCTIONS}/hello/disable")
    await call(secured, "POST", f"{FUNCTIONS}/hello/enable")
    await call(secured, "DELETE", f"{FUNCTIONS}/hello")
    entries = await trail(secured, "limit(100)")
    assert [(entry["action"], entry["subjectType"], entry["subjectId"]) for entry in entries] == [
        ("tasks.cancel", "task", task["id"]),
        ("schedules.create", "schedule", schedule["id"]),
        ("schedules.delete", "schedule", schedule["id"]),
        ("functions.create", "function", "hello"),
        ("functions.update", "function", "hello"),
        ("functions.disable", "function", "hello"),
        ("functions.enable", "function", "hello"),
        ("functions.delete", "function", "hello"),
    ]
    assert {entry["outcome"] for entry in entries} == {"done"}
    assert {(entry["userId"], entry["tokenId"], entry["address"]) for entry in entries} == {
        (ALL.user.id, ALL.kept.id, "127.0.0.1")
    }
    assert entries[4]["detail"] == {"fields": "description environmentVariables"}


async def test_who_paused_changed_and_resumed_is_there(secured: SecuredService) -> None:
    later = {"functionName": "hello", "startTimestamp": "2199-01-01T00:00:00.000Z"}
    schedule = await call(secured, "POST", "/tasks/v1/schedules", {**later, "interval": 60})
    path = f"/tasks/v1/schedules/{schedule['id']}"
    await call(secured, "PUT", path, {"note": "n"})
    await call(secured, "POST", f"{path}/pause")
    await call(secured, "POST", f"{path}/resume")
    await call(secured, "POST", FUNCTIONS, function_body())
    await call(secured, "POST", f"{FUNCTIONS}/hello/pause")
    await call(secured, "POST", f"{FUNCTIONS}/hello/resume")
    assert (await did(secured))[1:] == [
        *((f"schedules.{verb}", schedule["id"], "done") for verb in ("update", "pause", "resume")),
        *((f"functions.{verb}", "hello", "done") for verb in ("create", "pause", "resume")),
    ]


async def test_a_look_at_environment_variables_is_there_and_at_a_function_without_any_is_not(
    secured: SecuredService,
) -> None:
    await call(secured, "POST", FUNCTIONS, function_body(name="bare"))
    await call(secured, "POST", FUNCTIONS, function_body(**SECRETS))
    for name in ("bare", "hello", "unknown"):
        await call(secured, "GET", f"{FUNCTIONS}/{name}")
    assert (await did(secured))[2:] == [("functions.viewEnvironment", "hello", "done")]


async def test_what_failed_is_there_with_its_error_and_what_was_not_permitted_is_not(secured: SecuredService) -> None:
    await call(secured, "DELETE", f"{FUNCTIONS}/unknown")
    await call(secured, "DELETE", f"{FUNCTIONS}/unknown", token=NOBODY.token)
    await call(secured, "POST", f"/tasks/v1/{'a' * 24}/cancel", token=NOBODY.token)
    [entry] = await trail(secured)
    assert (entry["outcome"], entry["error"]) == ("failed", "RESOURCE_UNKNOWN_EXCEPTION")


async def test_creating_and_listing_tasks_leaves_no_entries(secured: SecuredService, tmp_path: Path) -> None:
    await call(secured, "POST", "/tasks/v1", {"functionName": "hello"})
    await call(secured, "GET", "/tasks/v1")
    assert not (tmp_path / "data" / "audit").exists()


async def test_logins_are_there_and_no_token_or_password(secured: SecuredService, tmp_path: Path) -> None:
    login = {"grant_type": "password", "username": ADA.email, "password": PASSWORD, "client_id": PUBLIC_CLIENT.key}
    service = {"grant_type": "client_credentials", "client_id": CLIENT.key, "client_secret": SECRET}
    for body in (login, {**login, "password": "wrong"}, service):
        await (await secured.service.client.post("/auth/v2/oauth2/tokens", json=body)).read()
    await call(secured, "POST", FUNCTIONS, function_body(**SECRETS))
    entries = await trail(secured, "action=logins.create")
    assert [(entry.get("userId"), entry["applicationId"], entry["subjectType"]) for entry in entries] == [
        (ADA.id, PUBLIC_CLIENT.id, "user"),
        (None, CLIENT.id, "application"),
    ]
    [part] = (tmp_path / "data" / "audit").glob("*.jsonl")
    for secret in (PASSWORD, SECRET, "very secret", "taskd_", ALL.token):
        assert secret not in part.read_text()
    assert part.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("action=functions.create", ["a", "b", "c"]),
        ("sort(-creationTimestamp,-id)&limit(2)", ["c", "b"]),
        ("limit(1,1)", ["b"]),
        ("in(subjectId,a,c)&outcome=done", ["a", "c"]),
        ("like(subjectId,b)", ["b"]),
        ("creationTimestamp<2020-01-01T00:00:00.000Z", []),
        ("gt(creationTimestamp,2020-01-01T00:00:00.000Z)", ["a", "b", "c"]),
        ("detail.fields=x", []),
        ("select(subjectId)&subjectId=a", ["a"]),
    ],
)
async def test_entries_are_found_by_what_they_say(secured: SecuredService, query: str, found: list[str]) -> None:
    for name in ("a", "b", "c"):
        await call(secured, "POST", FUNCTIONS, function_body(name=name))
    assert [entry["subjectId"] for entry in await trail(secured, query)] == found


async def test_a_query_that_makes_no_sense_and_a_caller_without_the_permission_are_told(
    secured: SecuredService,
) -> None:
    assert (await call(secured, "GET", "/taskd/v1/audit?nonsense=1"))["code"] == 19
    assert (await call(secured, "GET", "/taskd/v1/audit?sort(nonsense)"))["code"] == 19
    assert (await call(secured, "GET", "/taskd/v1/audit?sort("))["code"] == 19
    headers = {"Authorization": f"Bearer {NOBODY.token}"}
    await assert_error(await secured.service.client.get("/taskd/v1/audit", headers=headers), 10)
    await assert_error(await secured.service.client.get("/taskd/v1/audit"), 104)


async def test_without_a_place_for_entries_nothing_is_done_or_told(secured: SecuredService, tmp_path: Path) -> None:
    await call(secured, "POST", FUNCTIONS, function_body(**SECRETS))
    directory = tmp_path / "data" / "audit"
    directory.rename(tmp_path / "aside")
    directory.touch()
    assert (await call(secured, "DELETE", f"{FUNCTIONS}/hello"))["code"] == 1503
    answer = await call(secured, "GET", f"{FUNCTIONS}/hello")
    assert answer["code"] == 1503
    assert "very secret" not in json.dumps(answer)
    directory.unlink()
    (tmp_path / "aside").rename(directory)
    assert (await call(secured, "GET", f"{FUNCTIONS}/hello"))["name"] == "hello"
    assert await did(secured) == [
        ("functions.create", "hello", "done"),
        ("functions.viewEnvironment", "hello", "done"),
    ]


class Commands:
    """Commands on one data directory."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._data = data
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def auth(self, *arguments: str, status: ExitCode = ExitCode.OK) -> str:
        self._monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
        assert main(["auth", *arguments, "--data", str(self._data)]) == status
        return self._capsys.readouterr().out.strip()

    def audit(self, daemon: DaemonProcess, *arguments: str) -> str:
        token = read_token(self._data / HEADER_FILE) or ""
        assert main(["audit", *arguments, "--url", daemon.url, "--token", token]) == ExitCode.OK
        return self._capsys.readouterr().out

    def entries(self, daemon: DaemonProcess, *arguments: str) -> list[dict[str, Any]]:
        return list(json.loads(self.audit(daemon, "--json", *arguments)))


@pytest.fixture
def commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(tmp_path / "data", capsys, monkeypatch)


async def test_what_commands_did_on_the_files_is_there_under_the_name_of_their_user(
    tmp_path: Path, commands: Commands
) -> None:
    async with running_daemon(tmp_path, REQUIRED) as daemon:
        commands.auth("user", "add", "ada@example.com")
        commands.auth("grant", "role:operators", "ALL")
        commands.auth("revoke", "role:operators", "VIEW_TASKS", status=ExitCode.FAILED)
        token = commands.auth("token", "add", "ci", "--for", "ada@example.com", "--only", "VIEW_TASKS", "--days", "9")
        secret = json.loads(commands.auth("app", "add", "cli", "--kind", "oauth1", "--json"))["consumer_secret"]
        environment = ("environment", "cli", "--user", "ada@example.com", "--host", "http://h")
        login = commands.auth("app", *environment)
        commands.auth("user", "passwd", "ada@example.com")
        commands.auth("user", "log-out", "ada@example.com")
        commands.auth("rotate-key")
        commands.auth("token", "revoke", "ci")
        commands.auth("app", "remove", "cli")
        commands.auth("user", "remove", "ada@example.com")
        assert main(["reload", "--data", str(tmp_path / "data")]) == ExitCode.OK
        newest_first = commands.entries(daemon, "--limit", "50")
        told = [(one["action"], one.get("subjectId"), one["outcome"]) for one in reversed(newest_first)]
        table = commands.audit(daemon, "--action", "tokens")
    assert told == [
        ("users.add", "local@localhost", "done"),
        ("users.add", "ada@example.com", "done"),
        ("permissions.grant", "role:operators", "done"),
        ("permissions.revoke", "role:operators", "failed"),
        ("tokens.add", "ci", "done"),
        ("applications.add", "cli", "done"),
        ("logins.create", "ada@example.com", "done"),
        ("users.setPassword", "ada@example.com", "done"),
        ("logins.end", "ada@example.com", "done"),
        ("key.rotate", None, "done"),
        ("tokens.revoke", "ci", "done"),
        ("applications.remove", "cli", "done"),
        ("users.remove", "ada@example.com", "done"),
        ("accounts.reload", None, "done"),
    ]
    by_action = {one["action"]: one for one in newest_first}
    assert by_action["tokens.add"]["detail"] == {"owner": "ada@example.com", "only": "VIEW_TASKS", "days": "9"}
    assert by_action["permissions.grant"]["detail"] == {"permissions": "ALL"}
    assert all(one["operator"] for one in newest_first[1:])
    written = "".join(part.read_text() for part in (tmp_path / "data" / "audit").glob("*.jsonl"))
    for each in (token, secret, PASSWORD, *login.split("="), "taskd_oauth1_"):
        assert len(each) < 20 or each not in written
    assert "tokens.add" in table
    assert "users.add" not in table


async def test_the_command_finds_by_user_time_and_query(tmp_path: Path, commands: Commands) -> None:
    async with running_daemon(tmp_path, REQUIRED) as daemon:
        commands.auth("user", "add", "ada@example.com")
        operator = commands.entries(daemon)[0]["operator"]
        assert len(commands.entries(daemon, "--user", operator)) == 2
        assert commands.entries(daemon, "--user", "somebody else") == []
        assert len(commands.entries(daemon, "--since", "1h")) == 2
        assert commands.entries(daemon, "--since", "+1h") == []
        assert len(commands.entries(daemon, "--subject", "ada@example.com")) == 1
        assert len(commands.entries(daemon, "--rql", "subjectId=ada@example.com|subjectId=x", "--limit", "1")) == 1


async def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    write_accounts(tmp_path / "data" / "auth.toml", with_holders(EVERYBODY, ALL))
    headers = {"Authorization": f"Bearer {ALL.token}"}
    async with running_daemon(tmp_path, REQUIRED) as daemon, ClientSession(headers=headers) as client:
        for number in range(5):
            body = function_body(name=f"f{number}")
            assert (await client.post(daemon.url + FUNCTIONS, json=body)).status == 200
        await daemon.kill()
        parts = TrailFiles(tmp_path / "data" / "audit").parts()
        entries = [entry for part in parts for entry in read_part(part)]
        assert [(entry.subject_id, entry.outcome) for entry in entries] == [(f"f{n}", "done") for n in range(5)]
        await daemon.start()
        answer = await (await client.get(f"{daemon.url}/taskd/v1/audit")).json()
        assert answer["page"]["total"] == 5


def test_a_repair_of_the_journal_is_there(tmp_path: Path, commands: Commands) -> None:
    (tmp_path / "data" / "journal").mkdir(parents=True)
    assert main(["journal", "repair", str(tmp_path / "data")]) == ExitCode.OK
    [part] = TrailFiles(tmp_path / "data" / "audit").parts()
    [entry] = read_part(part)
    assert (entry.action, entry.outcome, entry.detail["framesLost"]) == ("journal.repair", "done", "0")


def test_a_data_directory_that_no_daemon_has_made_gets_no_trail(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    config = tmp_path / "taskd.toml"
    config.write_text(f'[auth]\nfile = "{tmp_path}/auth.toml"\n')
    assert main(["auth", "user", "add", "ada@example.com", "--config", str(config)]) == ExitCode.OK
    assert sorted(path.name for path in tmp_path.iterdir()) == ["auth.toml", "auth.toml.lock", "taskd.toml"]
