"""``taskd events`` and ``taskd dispatchers`` against a real API."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from support.http.service import Service

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode


class Result(NamedTuple):
    code: int
    out: str
    err: str


Taskd = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(service: Service, capsys: pytest.CaptureFixture[str]) -> Taskd:
    async def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = await asyncio.to_thread(main, [*arguments, "--url", service.url])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


async def test_events_are_published_and_listed_newest_first(run: Taskd) -> None:
    published = await run("events", "publish", "order", "--content", '{"user_id": "a"}', "--id", "evt-1")
    assert (published.code, published.out) == (ExitCode.OK, "Published event evt-1.\n")
    again = await run("events", "publish", "order", "--content", '{"user_id": "a"}', "--id", "evt-1", "--json")
    assert json.loads(again.out)["content"] == {"user_id": "a"}
    await run("events", "publish", "evil\N{RIGHT-TO-LEFT OVERRIDE}")
    listed = json.loads((await run("events", "list", "--json")).out)
    assert [event["type"] for event in listed] == ["evil\N{RIGHT-TO-LEFT OVERRIDE}", "order"]
    only = await run("events", "list", "--type", "order", "--filter", "content.user_id=a|content.user_id=b")
    assert "evt-1" in only.out
    assert '{"user_id": "a"}' in only.out
    table = (await run("events", "list")).out
    assert "evil\N{REPLACEMENT CHARACTER}" in table
    assert "No events." in (await run("events", "list", "--type", "none")).err
    refused = await run("events", "publish", "order", "--id", "evt-1")
    assert (refused.code, "26" in refused.err) == (ExitCode.FAILED, True)


async def test_dispatchers_are_listed_shown_and_deleted(service: Service, run: Taskd) -> None:
    assert "No dispatchers." in (await run("dispatchers", "list")).err
    body = {"eventType": "order", "name": "d", "actions": [{"type": "task", "functionName": "f"}, {"type": "mail"}]}
    async with service.client.post("/dispatchers/v1/", json=body) as response:
        made = await response.json()
    assert "f, mail" in (await run("dispatchers", "list", "--type", "order")).out
    assert json.loads((await run("dispatchers", "show", made["id"])).out) == made
    assert (await run("dispatchers", "delete", made["id"])).out == f"Deleted {made['id']}.\n"
    for command in ("show", "delete"):
        assert (await run("dispatchers", command, made["id"])).code == ExitCode.NOT_FOUND
