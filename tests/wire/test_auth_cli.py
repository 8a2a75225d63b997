"""``taskd auth`` beside a running daemon: what it writes comes into force on SIGHUP, and nothing of it leaks."""

import asyncio
import io
import json
import signal
from pathlib import Path

import pytest
from aiohttp import ClientSession
from oauthlib.oauth1 import Client
from support.daemon.process import DaemonProcess, running_daemon
from support.http.error_shape import assert_error

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode

REQUIRED = '[auth]\nmode = "required"\n'
PASSWORD = "correct horse battery"


class Terminal:
    """Runs commands on one data directory; a password is piped in."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._data = data
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def run(self, *arguments: str, typed: str = PASSWORD, status: ExitCode = ExitCode.OK) -> str:
        """What the command prints; errors count as printed."""
        self._monkeypatch.setattr("sys.stdin", io.StringIO(typed + "\n"))
        assert main(["auth", *arguments, "--data", str(self._data)]) == status
        captured = self._capsys.readouterr()
        return captured.out if status is ExitCode.OK else captured.err


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path / "data", capsys, monkeypatch)


async def reload(daemon: DaemonProcess, said: str) -> None:
    """SIGHUP, and the line of the log that tells what became of it."""
    seen = daemon.log.read_text().count(said)
    daemon.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(30):
        while daemon.log.read_text().count(said) == seen:
            await asyncio.sleep(0.005)


async def test_accounts_made_beside_a_running_daemon_come_into_force_on_sighup(
    tmp_path: Path, terminal: Terminal
) -> None:
    async with running_daemon(tmp_path, REQUIRED) as daemon, ClientSession(daemon.url) as client:
        assert "There were no accounts, so one called local is made" in daemon.log.read_text()
        await assert_error(await client.get("/tasks/v1"), 104)
        terminal.run("user", "add", "ada@example.com")
        terminal.run("grant", "ada@example.com", "VIEW_TASKS")
        token = terminal.run("token", "add", "ci", "--for", "ada@example.com").strip()
        headers = {"Authorization": f"Bearer {token}"}
        await assert_error(await client.get("/tasks/v1", headers=headers), 117)
        await reload(daemon, "The accounts are read anew")
        assert (await client.get("/tasks/v1", headers=headers)).status == 200
        (tmp_path / "data" / "auth.toml").chmod(0o644)
        await reload(daemon, "The accounts stay as they were")
        assert (await client.get("/tasks/v1", headers=headers)).status == 200
        (tmp_path / "data" / "auth.toml").chmod(0o600)
        terminal.run("token", "revoke", "ci")
        await reload(daemon, "The accounts are read anew")
        await assert_error(await client.get("/tasks/v1", headers=headers), 117)
        assert token not in daemon.log.read_text()


async def test_a_login_survives_a_crash_and_ends_on_request(tmp_path: Path, terminal: Terminal) -> None:
    terminal.run("user", "add", "ada@example.com")
    terminal.run("grant", "ada@example.com", "VIEW_TASKS")
    app = json.loads(terminal.run("app", "add", "web", "--kind", "oauth2", "--json"))
    terminal.run("app", "add", "functions", "--kind", "oauth1")
    called_back = ("app", "environment", "functions", "--user", "ada@example.com", "--host", "http://localhost")
    variables = dict(line.split("=", 1) for line in terminal.run(*called_back).splitlines())
    login = {"grant_type": "password", "username": "ada@example.com", "password": PASSWORD}
    async with running_daemon(tmp_path, REQUIRED) as daemon:
        async with ClientSession(daemon.url) as client:
            body = {**login, "client_id": app["client_id"], "client_secret": app["client_secret"]}
            answer = await (await client.post("/auth/v2/oauth2/tokens", json=body)).json()
        await daemon.kill()
        await daemon.start()
        async with ClientSession(daemon.url) as client:
            headers = {"Authorization": f"Bearer {answer['access_token']}"}
            assert (await client.get("/tasks/v1", headers=headers)).status == 200
            assert (await client.get("/tasks/v1", headers=signed(daemon.url, variables))).status == 200
            terminal.run("user", "log-out", "ada@example.com")
            await reload(daemon, "The accounts are read anew")
            await assert_error(await client.get("/tasks/v1", headers=headers), 117)
            await assert_error(await client.get("/tasks/v1", headers=signed(daemon.url, variables)), 108)


def signed(url: str, variables: dict[str, str]) -> dict[str, str]:
    """The headers of ``GET /tasks/v1``, signed with what a function has in its environment."""
    names = ("API_OAUTH_CONSUMER_KEY", "API_OAUTH_CONSUMER_SECRET", "API_OAUTH_TOKEN", "API_OAUTH_TOKEN_SECRET")
    return dict(Client(*(variables[name] for name in names)).sign(f"{url}/tasks/v1")[1])


async def test_a_daemon_that_asks_nobody_says_so_loudly(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon, ClientSession(daemon.url) as client:
        assert "AUTHENTICATION IS DISABLED" in daemon.log.read_text()
        assert (await client.get("/tasks/v1")).status == 200


async def test_a_daemon_does_not_start_with_accounts_that_others_can_read(tmp_path: Path, terminal: Terminal) -> None:
    terminal.run("user", "add", "ada@example.com")
    (tmp_path / "data" / "auth.toml").chmod(0o644)
    daemon = DaemonProcess(tmp_path, REQUIRED)
    with pytest.raises(AssertionError, match="chmod 600"):
        await daemon.start()
    assert await daemon.process.wait() == ExitCode.FAILED


def test_listings_show_who_may_what_and_no_secret(terminal: Terminal) -> None:
    terminal.run("user", "add", "ada@example.com", "--first-name", "Ada\x1b[2J")
    terminal.run("grant", "role:readers", "VIEW_TASKS")
    terminal.run("grant", "ada@example.com", "role:readers", "CREATE_TASKS")
    secret = json.loads(terminal.run("app", "add", "cli", "--kind", "oauth1", "--json"))["consumer_secret"]
    token = terminal.run("token", "add", "ci", "--for", "cli", "--only", "VIEW_TASKS", "--days", "2").strip()
    users, apps, tokens = (terminal.run(kind, "list") for kind in ("user", "app", "token"))
    assert "role:readers CREATE_TASKS" in users
    assert "\x1b" not in users
    assert "oauth1" in apps
    assert "VIEW_TASKS" in tokens
    assert "never" not in tokens
    for text in (secret, token, PASSWORD):
        assert text not in users + apps + tokens


def test_the_environment_of_a_function_is_ready_to_be_put_into_its_definition(terminal: Terminal) -> None:
    terminal.run("user", "add", "ada@example.com")
    terminal.run("app", "add", "functions", "--kind", "oauth1")
    arguments = ("app", "environment", "functions", "--user", "ada@example.com", "--host", "http://127.0.0.1:8080")
    variables = json.loads(terminal.run(*arguments, "--json"))
    assert variables["API_HOST"] == {"value": "http://127.0.0.1:8080"}
    names = {line.partition("=")[0] for line in terminal.run(*arguments).splitlines()}
    assert (
        names
        == set(variables)
        == {
            "API_HOST",
            "API_OAUTH_CONSUMER_KEY",
            "API_OAUTH_CONSUMER_SECRET",
            "API_OAUTH_TOKEN",
            "API_OAUTH_TOKEN_SECRET",
        }
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("user", "remove", "nobody@example.com"), "There is no user nobody@example.com"),
        (("user", "passwd", "nobody@example.com"), "There is no user"),
        (("user", "add", "not an address"), "is not an email address"),
        (("app", "remove", "nothing"), "There is no application nothing"),
        (("token", "revoke", "nothing"), "There is no token nothing"),
        (("grant", "role:x", "FLY"), "there is no permission FLY"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(terminal: Terminal, arguments: tuple[str, ...], said: str) -> None:
    error = terminal.run(*arguments, status=ExitCode.FAILED)
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_password_that_is_too_short_is_refused(terminal: Terminal) -> None:
    assert "8 to 1024" in terminal.run("user", "add", "a@b.c", typed="short", status=ExitCode.FAILED)


def test_another_password_is_taken_and_removed_accounts_are_gone(terminal: Terminal) -> None:
    terminal.run("user", "add", "ada@example.com")
    terminal.run("user", "passwd", "ada@example.com", typed="another password")
    terminal.run("app", "add", "web", "--kind", "oauth2", "--public")
    terminal.run("app", "remove", "web")
    terminal.run("revoke", "ada@example.com", "VIEW_TASKS", status=ExitCode.FAILED)
    terminal.run("user", "remove", "ada@example.com")
    assert "ada" not in terminal.run("user", "list")
    terminal.run("rotate-key")


def test_oauth1_needs_a_secret(terminal: Terminal) -> None:
    terminal.run("app", "add", "cli", "--kind", "oauth1", "--public", status=ExitCode.USAGE)
    terminal.run("app", "add", "web", "--kind", "oauth2")
    terminal.run("user", "add", "ada@example.com")
    arguments = ("app", "environment", "web", "--user", "ada@example.com", "--host", "x")
    assert "not an OAuth 1 application" in terminal.run(*arguments, status=ExitCode.FAILED)


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "add", "ada@example.com"),
        ("user", "list"),
        ("user", "add", "ada@example.com", "--config", "taskd.toml"),
        ("user", "add", "ada@example.com", "--config", "elsewhere.toml"),
        ("rotate-key", "--config", "apart.toml"),
    ],
)
def test_where_there_is_no_data_directory_and_none_was_named_none_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    Path("taskd.toml").write_text(REQUIRED)
    Path("elsewhere.toml").write_text('[store]\ndata = "elsewhere"\n')
    Path("apart.toml").write_text('[auth]\nfile = "auth.toml"\n')
    assert main(["auth", *arguments]) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert f"There is no directory {tmp_path}/" in said
    assert "--data DIRECTORY" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apart.toml", "elsewhere.toml", "taskd.toml"]


def test_the_configuration_names_the_data_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    config = tmp_path / "taskd.toml"
    config.write_text(f'[store]\ndata = "{tmp_path / "data"}"\n')
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert main(["auth", "user", "add", "ada@example.com", "--config", str(config)]) == ExitCode.OK
    assert main(["auth", "user", "list", "--data", str(tmp_path / "data")]) == ExitCode.OK
    assert "ada@example.com" in capsys.readouterr().out
