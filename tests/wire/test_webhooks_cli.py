"""``taskd webhooks`` against a real API."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
from support.http.service import Service

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode
from taskd.webhooks.signature import is_secret


class Result(NamedTuple):
    code: int
    out: str
    err: str


Taskd = Callable[..., Awaitable[Result]]
URL = "https://example.com/hook"


@pytest.fixture
def run(service: Service, capsys: pytest.CaptureFixture[str]) -> Taskd:
    async def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["webhooks", *arguments, "--url", service.url])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


async def test_a_webhook_from_its_making_to_its_end(run: Taskd) -> None:
    result = await run("add", URL, "--event", "task.failed", "--event", "mine", "--data", "--json")
    assert result.code == ExitCode.OK, result.err
    made = json.loads(result.out)
    [secret] = made.pop("secrets")
    assert is_secret(secret)
    assert (made["events"], made["include"]) == (["task.failed", "mine"], ["data"])
    assert json.loads((await run("show", made["id"], "--json")).out) == made
    assert json.loads((await run("list", "--filter", "enabled=true", "--json")).out) == [made]
    assert made["id"] in (await run("list")).out
    assert (await run("disable", made["id"])).out == f"Disabled {made['id']}.\n"
    assert "disabled" in (await run("list")).out
    assert (await run("enable", made["id"])).out == f"Enabled {made['id']}.\n"
    assert (await run("remove", made["id"])).out == f"Removed {made['id']}.\n"
    assert (await run("show", made["id"])).code == ExitCode.NOT_FOUND
    assert "No webhooks." in (await run("list")).err


async def test_secrets_are_told_when_they_are_new(run: Taskd) -> None:
    told = (await run("add", URL, "--event", "task.complete", "--rql", "eq(functionName,greet)")).out
    webhook_id = told.split()[1]
    assert f"calls {URL}." in told
    first = next(word for word in told.replace(",", "").split() if is_secret(word))
    rotated = (await run("rotate", webhook_id, "--overlap", "1h")).out
    assert first not in rotated
    assert any(map(is_secret, rotated.replace(",", "").split()))
    assert len(json.loads((await run("rotate", webhook_id, "--overlap", "0s", "--json")).out)["secrets"]) == 1


async def test_deliveries_are_listed_and_made_again(run: Taskd) -> None:
    webhook = json.loads((await run("add", URL, "--event", "mine", "--json")).out)["id"]
    assert "No deliveries." in (await run("deliveries", webhook)).err
    assert " of webhook.test is under way." in (await run("test", webhook)).out
    [delivery] = json.loads((await run("deliveries", webhook, "--filter", "status=waiting", "--json")).out)
    assert delivery["id"] in (await run("deliveries", webhook)).out
    again = json.loads((await run("redeliver", webhook, delivery["id"], "--json")).out)
    assert again["id"] == delivery["id"]


async def test_what_cannot_be_is_refused_with_a_reason(run: Taskd) -> None:
    result = await run("add", "http://10.0.0.1/", "--event", "task.complete")
    assert result.code == ExitCode.FAILED
    assert "allow_networks" in result.err
    assert (await run("add", URL)).code == ExitCode.USAGE
