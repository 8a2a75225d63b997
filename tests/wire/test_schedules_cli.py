"""``taskd schedules`` against a real API."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

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
        code = await asyncio.to_thread(main, ["schedules", *arguments, "--url", service.url])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


async def created(run: Taskd, *arguments: str) -> dict[str, Any]:
    result = await run("create", *arguments, "--json")
    assert result.code == ExitCode.OK, result.err
    return dict(json.loads(result.out))


async def test_a_schedule_is_created_with_all_that_is_said(run: Taskd) -> None:
    start = "2999-01-01T00:00:00.000Z"
    schedule = await created(
        run, *("hello", "--every", "1h30m", "--data", '{"a": 1}', "--start", start, "--priority", "7")
    )
    assert (schedule["interval"], schedule["data"], schedule["priority"]) == (5400, {"a": 1}, 7)
    assert schedule["nextTimestamp"] == start
    assert (await created(run, "hello", "--every", "250ms"))["interval"] == 0.25


async def test_what_was_made_is_told_in_one_line(run: Taskd) -> None:
    result = await run("create", "hello", "--every", "5m", "--start", "+1h")
    assert result.out.startswith("Created schedule ")
    assert ": hello every 5 min 0 s, next in " in result.out
    assert result.out.count("\n") == 1


async def test_schedules_are_listed_filtered_and_deleted(run: Taskd) -> None:
    first = await created(run, "hello", "--every", "1m")
    second = await created(run, "other", "--every", "2d")
    table = (await run("list")).out
    assert table.index(second["id"]) < table.index(first["id"])
    assert "2 d 0 h" in table
    for arguments in (("--function", "hello"), ("--filter", "lt(interval,100)")):
        rows = json.loads((await run("list", *arguments, "--json")).out)
        assert rows == [first]
    assert (await run("delete", first["id"])).out == f"Deleted {first['id']}.\n"
    assert (await run("delete", first["id"])).code == ExitCode.NOT_FOUND
    assert json.loads((await run("list", "--json")).out) == [second]


async def test_an_empty_list_says_how_to_begin(run: Taskd) -> None:
    result = await run("list")
    assert (result.code, result.out) == (ExitCode.OK, "")
    assert "taskd schedules create" in result.err


@pytest.mark.parametrize("every", ["", "5", "+5m", "five minutes", "1.5h", "-1m"])
async def test_a_duration_that_is_none_is_refused(run: Taskd, every: str) -> None:
    result = await run("create", "hello", "--every", every)
    assert result.code == ExitCode.USAGE
    assert "write 30s" in result.err


async def test_an_interval_that_the_service_refuses_is_told(run: Taskd) -> None:
    result = await run("create", "hello", "--every", "10ms")
    assert result.code != ExitCode.OK
    assert "interval must be" in result.err


async def test_a_schedule_is_paused_looked_at_and_resumed(run: Taskd) -> None:
    schedule = await created(run, "hello", "--every", "1m", "--start", "+1h")
    assert (await run("pause", schedule["id"], "--reason", "for the night")).out == f"Paused {schedule['id']}.\n"
    assert "paused" in (await run("list")).out
    shown = await run("show", schedule["id"])
    assert "for the night" in shown.out
    assert json.loads((await run("show", schedule["id"], "--json")).out)["paused"] is True
    assert (await run("resume", schedule["id"])).out.startswith(f"Resumed {schedule['id']}, next in ")
    assert "paused" not in (await run("list")).out
    assert (await run("show", "0" * 24)).code == ExitCode.NOT_FOUND
