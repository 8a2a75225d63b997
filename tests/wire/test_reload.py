"""``taskd reload``: the command waits until the daemon has read its accounts anew, and fails with the reason."""

import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession
from support.daemon.process import DaemonProcess, running_daemon
from support.http.error_shape import assert_error

from taskd.auth.account_changes import add_token, add_user, grant
from taskd.auth.account_file import FILE_NAME, editing
from taskd.cli.exit_codes import ExitCode

pytestmark = pytest.mark.slow

REQUIRED = '[auth]\nmode = "required"\n'
SOCKET = "reload.sock"


async def reload(data: Path) -> tuple[int, str]:
    """The exit code of the command, and what it says."""
    command = (sys.executable, "-m", "taskd", "reload", "--data", str(data))
    running = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await running.communicate()
    return running.returncode or 0, said.decode()


def make_token(data: Path) -> str:
    """A token of somebody who may look at tasks."""
    with editing(data / FILE_NAME) as edit:
        accounts = add_user(edit.accounts, "ada@example.com", "correct horse battery", "", "")
        accounts = grant(accounts, "ada@example.com", ("VIEW_TASKS",))
        edit.accounts, token = add_token(accounts, "ci", "ada@example.com", (), 0)
    return token


async def test_what_is_read_anew_is_in_force_when_the_command_returns(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, REQUIRED) as daemon, ClientSession(daemon.url) as client:
        headers = {"Authorization": f"Bearer {make_token(daemon.data)}"}
        await assert_error(await client.get("/tasks/v1", headers=headers), 117)
        assert await reload(daemon.data) == (ExitCode.OK, "")
        assert (await client.get("/tasks/v1", headers=headers)).status == 200


async def test_accounts_that_cannot_be_used_fail_the_command_with_the_reason(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, REQUIRED) as daemon, ClientSession(daemon.url) as client:
        headers = {"Authorization": f"Bearer {make_token(daemon.data)}"}
        assert await reload(daemon.data) == (ExitCode.OK, "")
        (daemon.data / FILE_NAME).write_text("no TOML")
        code, said = await reload(daemon.data)
        assert code == ExitCode.FAILED
        assert said.startswith(f"taskd: The accounts stay as they were: {daemon.data / FILE_NAME}: ")
        assert (await client.get("/tasks/v1", headers=headers)).status == 200


async def test_many_that_ask_at_once_all_hear_the_answer(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as daemon:
        assert await asyncio.gather(*(reload(daemon.data) for _ in range(4))) == [(ExitCode.OK, "")] * 4


async def test_without_a_daemon_the_command_says_so(tmp_path: Path) -> None:
    said = f"taskd: No taskd is running on {tmp_path / 'data'}.\n"
    assert await reload(tmp_path / "data") == (ExitCode.FAILED, said)
    async with running_daemon(tmp_path) as daemon:
        await daemon.kill()
        assert (daemon.data / SOCKET).exists()
        assert await reload(daemon.data) == (ExitCode.FAILED, said)


async def test_a_daemon_takes_the_socket_of_one_that_was_killed_and_leaves_none_behind(tmp_path: Path) -> None:
    async with running_daemon(tmp_path) as killed:
        await killed.kill()
    async with running_daemon(tmp_path) as daemon:
        assert await reload(daemon.data) == (ExitCode.OK, "")
        assert not (daemon.data / SOCKET).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        assert await daemon.stop() == 0
    assert not (daemon.data / SOCKET).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the shorter way leads through /proc")
async def test_a_data_directory_with_a_long_path_can_be_reloaded(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    async with running_daemon(folder) as daemon:
        assert await reload(daemon.data) == (ExitCode.OK, "")


async def test_a_data_directory_that_takes_no_socket_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "data" / SOCKET / "occupied").mkdir(parents=True)
    async with running_daemon(tmp_path) as daemon:
        assert "`taskd reload` will not work" in daemon.log.read_text()
        daemon.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(30):
            while "The accounts are read anew" not in daemon.log.read_text():
                await asyncio.sleep(0.005)


async def test_a_client_that_does_not_listen_holds_nothing_up(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path)
    await daemon.start()
    directory = os.open(daemon.data, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(f"/proc/self/fd/{directory}/{SOCKET}")
        assert await reload(daemon.data) == (ExitCode.OK, "")
        assert await daemon.stop() == 0
    os.close(directory)
