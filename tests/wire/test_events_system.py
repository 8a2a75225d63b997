"""What a daemon tells of itself: accounts that changed, whoever changed them, and tasks that failed."""

import asyncio
import signal
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from support.auth.accounts import BOB, EVERYBODY, holder, with_holders, write_accounts
from support.daemon.process import DaemonProcess, running_daemon

from taskd.auth.account_changes import remove_user, set_password
from taskd.auth.account_file import FILE_NAME, editing

REQUIRED = '[auth]\nmode = "required"\nregistration = "open"\n'
LOOKING = holder(7001, "VIEW_EVENTS", "CREATE_TASKS", "VIEW_TASKS", "CREATE_DISPATCHERS", "CREATE_EVENTS")
NEW = {
    "first_name": "N",
    "last_name": "N",
    "email": "new@example.com",
    "password": "correct horse",
    "phone_number": "0",
    "language": "EN",
    "activation_mode": "manual",
}


class Watcher:
    """Somebody who may see events of a daemon."""

    def __init__(self, daemon: DaemonProcess, session: ClientSession) -> None:
        self.daemon = daemon
        self.session = session

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {LOOKING.token}"}
        async with self.session.request(method, self.daemon.url + path, json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def seen(self, type_: str) -> dict[str, Any]:
        """The content of the only event of this type, once there is one."""
        async with asyncio.timeout(30):
            while not (found := (await self.call("GET", f"/events/v1?type={type_}"))["data"]):
                await asyncio.sleep(0.02)
        [event] = found
        return dict(event["content"])


async def test_a_daemon_tells_of_accounts_that_changed_and_of_tasks_that_failed(tmp_path: Path) -> None:
    accounts = with_holders(EVERYBODY, LOOKING)
    write_accounts(tmp_path / "data" / FILE_NAME, accounts)
    async with running_daemon(tmp_path, REQUIRED) as daemon, ClientSession() as session:
        watcher = Watcher(daemon, session)
        async with session.post(f"{daemon.url}/users/v1/register", json=NEW) as response:
            assert response.status == 200, await response.text()
            registered = await response.json()
        assert await watcher.seen("user_created") == {"id": registered["id"]}
        with editing(daemon.data / FILE_NAME) as edit:
            edit.accounts = set_password(remove_user(edit.accounts, BOB.email), NEW["email"], "battery staple")
        daemon.process.send_signal(signal.SIGHUP)
        assert await watcher.seen("user_deleted") == {"id": BOB.id}
        assert await watcher.seen("password_update_completed") == {"user_id": registered["id"]}
        mail = {"type": "mail", "name": "tell"}
        repair = {"type": "task", "functionName": "nobody-else"}
        await watcher.call("POST", "/dispatchers/v1/", {"eventType": "task_failed", "actions": [mail, repair]})
        task = await watcher.call("POST", "/tasks/v1", {"functionName": "nobody"})
        async with asyncio.timeout(30):
            while len((await watcher.call("GET", "/events/v1?type=task_failed&limit(100)"))["data"]) < 9:
                await asyncio.sleep(0.05)
        tasks = (await watcher.call("GET", "/tasks/v1?sort(creationTimestamp)"))["data"]
        assert [each["functionName"] for each in tasks] == ["nobody"] + ["nobody-else"] * 8
        failed = [each["data"]["event"]["content"]["id"] for each in tasks[1:]]
        assert failed == [each["id"] for each in tasks[:-1]]
        assert failed[0] == task["id"]
        assert "createdByUserId" not in tasks[1]
        assert await daemon.stop() == 0
    said = daemon.log.read_text()
    assert "no task is made of it: 8 tasks in a row were made because the one before failed" in said
    assert said.count("mails are not sent") == 9
