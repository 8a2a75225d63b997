"""The account that a first start on loopback makes: who finds it, what it opens, and that it stays removed."""

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from oauthlib.oauth1 import Client
from support.auth.accounts import write_accounts
from support.daemon.process import DaemonProcess, running_daemon
from support.http.error_shape import assert_error

from taskd.auth.account_file import FILE_NAME, read_accounts
from taskd.auth.header_files import HEADER_FILE, header_file, left_for_commands, read_token
from taskd.auth.local_account import EMAIL, OAUTH1_FILE
from taskd.auth.secret_files import SecretFileError
from taskd.cli import main
from taskd.cli.exit_codes import ExitCode

DEFAULT = "[auth]\n"
NOBODY = 65_534
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(autouse=True)
def settings_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "settings"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    return home


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"check": False, "capture_output": True, "text": True, **options}
    return await asyncio.to_thread(lambda: subprocess.run(command, **options))  # noqa: PLW1510  it is among the options


def left_at(url: str) -> Path:
    path = header_file(url)
    assert path is not None
    return path


async def test_by_default_a_caller_on_loopback_is_asked_who_they_are(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon, ClientSession(daemon.url) as client:
        for method, path in (
            ("GET", ""),
            ("POST", "/functions"),
            ("GET", "/functions/f"),
            ("POST", "/functions/f/execute"),
        ):
            body = await assert_error(await client.request(method, f"/tasks/v1{path}"), 104)
            assert "`taskd token`" in body["message"]


@needs_curl
async def test_curl_calls_with_the_header_file_and_no_token_on_its_command_line(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        for path in (daemon.data / HEADER_FILE, left_at(daemon.url)):
            answer = await run(["curl", "-sf", "-H", f"@{path}", f"{daemon.url}/tasks/v1"], check=True)
            assert json.loads(answer.stdout)["data"] == []


async def test_the_oauth_1_pair_signs_requests_of_the_same_account(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon, ClientSession(daemon.url) as client:
        pair = json.loads((daemon.data / OAUTH1_FILE).read_text())
        names = ("consumerKey", "consumerSecret", "token", "tokenSecret")
        headers = Client(*(pair[name] for name in names)).sign(f"{daemon.url}/users/v1/me")[1]
        async with client.get("/users/v1/me", headers=headers) as response:
            assert (await response.json())["email"] == EMAIL


@pytest.mark.usefixtures("wide_umask")
async def test_its_files_are_their_owners_alone(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        files = [daemon.data / HEADER_FILE, daemon.data / OAUTH1_FILE, daemon.data / FILE_NAME, left_at(daemon.url)]
        assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 4


@needs_root
async def test_another_user_of_the_machine_cannot_read_them(tmp_path: Path) -> None:
    """Even if the directory is open to them, as the file beside it shows."""
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        for path in (daemon.data / HEADER_FILE, daemon.data / OAUTH1_FILE, left_at(daemon.url)):
            path.parent.chmod(0o755)
            (path.parent / "open").write_text("anybody's")
            (path.parent / "open").chmod(0o644)
            read = await run(["cat", "open", path.name], user=NOBODY, cwd=path.parent)
            assert (read.returncode, read.stdout) == (1, "anybody's"), path
            assert "Permission denied" in read.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_commands_use_its_token_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        url = daemon.url.replace("127.0.0.1", host)
        assert main(["tasks", "list", "--url", url]) == ExitCode.OK
        capsys.readouterr()
        assert main(["token", "--url", url]) == ExitCode.OK
        path = Path(capsys.readouterr().out.strip())
        assert path == left_at(daemon.url)
        assert main(["token", "--data", str(daemon.data), "--show"]) == ExitCode.OK
        assert capsys.readouterr().out.strip() == read_token(path)


async def test_a_token_that_was_left_goes_to_the_address_and_not_to_where_localhost_may_lead() -> None:
    """The name may lead to ::1 first, where another user can listen on the same port."""
    heads: list[bytes] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(record, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with left_for_commands(f"http://127.0.0.1:{port}", "secret"):
            for token in ([], ["--token", "given"]):
                command = ["tasks", "list", "--url", f"http://localhost:{port}", *token]
                assert await asyncio.to_thread(main, command) == ExitCode.UNREACHABLE
    left, given = heads
    assert f"Host: 127.0.0.1:{port}\r\n".encode() in left
    assert b"Bearer secret" in left
    assert b"Bearer given" in given


async def test_a_token_that_is_given_is_the_one_that_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        assert main(["tasks", "list", "--url", daemon.url, "--token", "other"]) == ExitCode.NOT_PERMITTED
        assert "117" in capsys.readouterr().err


def test_where_no_daemon_has_left_a_token_the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--url", "http://127.0.0.1:1"]) == ExitCode.NOT_FOUND
    said = capsys.readouterr().err
    assert "127.0.0.1_1.header" in said
    assert "`--data DIRECTORY` looks in the daemon's data directory" in said
    assert main(["token", "--url", "https://tasks.example.com"]) == ExitCode.NOT_FOUND
    assert main(["token", "--url", "http://host:port"]) == ExitCode.USAGE


async def test_a_token_file_that_others_may_read_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        left_at(daemon.url).chmod(0o644)
        for command in ("tasks list", "token"):
            assert main([*command.split(), "--url", daemon.url]) == ExitCode.FAILED
            assert "chmod 600" in capsys.readouterr().err
        with pytest.raises(SecretFileError):
            read_token(left_at(daemon.url))


async def test_it_is_kept_over_restarts_and_commands_find_the_new_address(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        token, first = read_token(daemon.data / HEADER_FILE), left_at(daemon.url)
        assert await daemon.stop() == 0
        assert not first.exists()
        url = await daemon.start()
        assert read_token(left_at(url)) == token == read_token(daemon.data / HEADER_FILE)
        await daemon.kill()
        url = await daemon.start()
        assert main(["tasks", "list", "--url", url]) == ExitCode.OK


async def test_it_is_listed_and_removed_like_any_other_and_not_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def auth(*arguments: str) -> str:
        assert main(["auth", *arguments, "--data", str(tmp_path / "data")]) == ExitCode.OK
        return capsys.readouterr().out

    async with running_daemon(tmp_path, DEFAULT) as daemon, ClientSession(daemon.url) as client:
        header = {"Authorization": f"Bearer {read_token(daemon.data / HEADER_FILE)}"}
        assert EMAIL in auth("user", "list")
        assert EMAIL in auth("token", "list")
        assert "oauth1" in auth("app", "list")
        auth("user", "remove", EMAIL)
        auth("app", "remove", "local")
        assert main(["reload", "--data", str(daemon.data)]) == ExitCode.OK
        await assert_error(await client.get("/tasks/v1", headers=header), 117)
        await daemon.kill()
        url = await daemon.start()
        assert "There are no accounts yet" in daemon.log.read_text()
        assert not left_at(url).exists()
    accounts = read_accounts(daemon.data / FILE_NAME)
    assert (accounts.users, accounts.applications, accounts.tokens) == ((), (), ())


async def test_where_there_are_accounts_none_is_made(tmp_path: Path) -> None:
    write_accounts(tmp_path / "data" / FILE_NAME)
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        assert not (daemon.data / HEADER_FILE).exists()
        assert not left_at(daemon.url).exists()
        assert "local" not in (daemon.data / FILE_NAME).read_text()


@pytest.mark.parametrize(
    "config",
    [
        '[auth]\nmode = "disabled"\n',
        '[auth]\nfile = "elsewhere.toml"\n',
        '[auth]\noidc_issuer = "https://login.example.com"\noidc_audience = "taskd"\n',
    ],
)
async def test_none_is_made_where_the_operator_has_said_who_may_call(tmp_path: Path, config: str) -> None:
    async with running_daemon(tmp_path, config) as daemon:
        assert not (daemon.data / HEADER_FILE).exists()
        assert not (daemon.data / FILE_NAME).exists()


async def test_none_is_made_where_other_machines_can_call(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, DEFAULT, "--listen", "0.0.0.0:0") as daemon:
        assert not (daemon.data / FILE_NAME).exists()
        assert "There are no accounts yet" in daemon.log.read_text()


async def test_a_service_user_without_a_home_has_it_in_the_data_directory_alone(tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.touch()
    daemon = DaemonProcess(tmp_path, DEFAULT, environment={"XDG_CONFIG_HOME": "", "HOME": str(nowhere)})
    await daemon.start()
    try:
        assert read_token(daemon.data / HEADER_FILE)
        assert "will not find the token" in daemon.log.read_text()
        assert "TASKD_TOKEN, which `taskd token --show --data DIRECTORY` prints" in daemon.log.read_text()
    finally:
        assert await daemon.stop() == 0


@needs_root
async def test_root_leaves_its_token_to_no_other_user(tmp_path: Path, settings_home: Path) -> None:
    await asyncio.to_thread(settings_home.mkdir)
    os.chown(settings_home, NOBODY, NOBODY)
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        assert not left_at(daemon.url).exists()
        assert "would belong to another user" in daemon.log.read_text()


async def test_a_start_that_was_killed_before_the_accounts_were_written_is_made_good(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, DEFAULT) as daemon:
        stale = read_token(daemon.data / HEADER_FILE)
        await daemon.kill()
        (daemon.data / FILE_NAME).unlink()
        url = await daemon.start()
        assert read_token(daemon.data / HEADER_FILE) != stale
        assert main(["tasks", "list", "--url", url]) == ExitCode.OK


def test_no_token_stands_in_the_log_or_on_a_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "taskd", "serve", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        process.terminate()
        output, log = process.communicate(timeout=60)
    assert read_token(tmp_path / "data" / HEADER_FILE)
    assert "taskd token" in log
    assert "taskd_token_" not in ready + output + log
