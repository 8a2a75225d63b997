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


async def test_a_cron_schedule_is_created_with_all_its_rules(run: Taskd) -> None:
    given = ("--cron", "0 7 * * 1-5", "--zone", "Europe/Brussels", "--overlap", "bufferOne", "--catch-up", "90s")
    more = ("--jitter", "2s", "--remaining", "3", "--note", "Reports", "--tag", "a", "--tag", "b", "--paused")
    schedule = await created(run, "hello", *given, *more, "--end", "2999-01-01T00:00:00Z")
    assert {name: schedule.get(name) for name in RULES} == RULES
    assert "interval" not in schedule


RULES = {
    "cron": "0 7 * * 1-5",
    "timeZone": "Europe/Brussels",
    "overlap": "bufferOne",
    "catchUpSeconds": 90,
    "jitterSeconds": 2,
    "remaining": 3,
    "note": "Reports",
    "tags": ["a", "b"],
    "paused": True,
    "endTimestamp": "2999-01-01T00:00:00.000Z",
}


async def test_the_next_time_of_a_cron_schedule_is_told_in_words(run: Taskd) -> None:
    given = ("--cron", "0 7 1 3 *", "--zone", "Europe/Brussels", "--start", "2999-01-01T00:00:00Z")
    result = await run("create", "hello", *given)
    assert ": hello 0 7 1 3 * Europe/Brussels, next in " in result.out
    assert result.out.endswith(", Fri 01 Mar 2999 07:00 CET\n")
    listed = json.loads((await run("list", "--json")).out)
    assert listed[0]["nextTimestamp"] == "2999-03-01T06:00:00.000Z"
    assert "0 7 1 3 *" in (await run("list")).out


@pytest.mark.parametrize("times", [(), ("--every", "5m", "--cron", "@daily")])
async def test_one_of_every_and_cron_is_needed(run: Taskd, times: tuple[str, ...]) -> None:
    for command in (("create", "hello"), ("next",)):
        result = await run(*command, *times)
        assert result.code == ExitCode.USAGE
        assert "one of --every and --cron" in result.err


async def test_a_schedule_is_changed_in_part_and_rules_are_taken_away(run: Taskd) -> None:
    schedule = await created(run, "hello", "--every", "1m", "--start", "+1h", "--note", "n", "--remaining", "3")
    changed = await run(
        "update", schedule["id"], "--cron", "@daily", "--function", "other", "--clear", "note", "--json"
    )
    after = json.loads(changed.out)
    assert (after["cron"], after["functionName"], after["remaining"], "note" in after) == ("@daily", "other", 3, False)
    assert "Changed" in (await run("update", schedule["id"], "--clear", "remaining")).out
    assert (await run("update", schedule["id"], "--cron", "nonsense")).code == ExitCode.FAILED
    assert (await run("update", "0" * 24, "--note", "n")).code == ExitCode.NOT_FOUND


async def test_coming_times_are_shown_in_the_zone_of_the_schedule(run: Taskd) -> None:
    given = ("--cron", "30 2 * * *", "--zone", "America/New_York", "--start", "2026-03-07T00:00:00Z")
    shown = (await run("next", *given, "--count", "3")).out.splitlines()
    assert [line[:25].rstrip() for line in shown] == [
        *("Sat 07 Mar 2026 02:30 EST", "Sun 08 Mar 2026 03:00 EDT", "Mon 09 Mar 2026 02:30 EDT"),
    ]
    schedule = await created(run, "hello", *given)
    assert len(json.loads((await run("next", schedule["id"], "--json")).out)) == 10
    assert (await run("next", schedule["id"], "--count", "1")).out.startswith("Sat 07 Mar 2026 02:30 EST")


async def test_a_schedule_is_triggered_and_backfilled(run: Taskd) -> None:
    given = ("--every", "1h", "--start", "2026-01-01T00:00:00Z", "--paused")
    schedule = await created(run, "hello", *given)
    assert (await run("trigger", schedule["id"])).out.startswith("Created ")
    first, again = [json.loads((await run("trigger", schedule["id"], "--key", "k", "--json")).out) for _ in range(2)]
    assert first["id"] == again["id"]
    span = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T05:30:00Z")
    assert (await run("backfill", schedule["id"], *span)).out == "Made 6 tasks.\n"
    assert (await run("backfill", schedule["id"], "--from", "now", "--to", "+1h")).code == ExitCode.FAILED


async def test_a_schedule_that_has_ended_is_listed_as_such(run: Taskd, service: Service) -> None:
    await created(run, "hello", "--every", "1m", "--remaining", "1")
    await service.store.fire(1)
    assert "ended" in (await run("list")).out
