"""``taskd tasks cancel|replay --rql`` and ``taskd operations`` against a real API whose operations go on."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from support.http.service import Service

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode
from taskd.maintenance.operations import Operations
from taskd.rql.query import Query


class Result(NamedTuple):
    code: int
    out: str
    err: str


Taskd = Callable[..., Awaitable[Result]]


@pytest.fixture
async def working(service: Service) -> AsyncIterator[Service]:
    """A service whose operations go on."""
    fatal: list[BaseException] = []
    operations = Operations(service.store, on_fatal=fatal.append)
    await operations.start()
    yield service
    await operations.stop()
    assert not fatal


@pytest.fixture
def run(service: Service, capsys: pytest.CaptureFixture[str]) -> Taskd:
    async def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = await asyncio.to_thread(main, [*arguments, "--url", service.url])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


async def ended(service: Service, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
    tasks = [await service.create(**fields) for _ in range(count)]
    await service.start_all()
    for task in tasks:
        await service.finish(task["id"])
    return tasks


async def test_what_matches_is_cancelled_and_counted(working: Service, run: Taskd) -> None:
    tasks = [await working.create(tags=["a b"]) for _ in range(3)]
    await working.create()
    result = await run("tasks", "cancel", "--rql", "tags=a b", "--yes")
    assert (result.code, result.out) == (ExitCode.OK, "cancel done: 3 of 3 tasks.\n"), result.err
    assert {(await working.get(f"/{task['id']}"))["status"] for task in tasks} == {"canceled"}
    assert (await working.get("?status=new"))["page"]["total"] == 1


async def test_what_has_ended_and_matches_is_deleted(working: Service, run: Taskd) -> None:
    await ended(working, 3)
    kept = await working.create()
    result = await run("tasks", "delete", "--rql", "functionName=hello", "--yes")
    assert (result.code, result.out) == (
        ExitCode.OK,
        "delete done: 3 of 4 tasks, 1 skipped: not in a state for it.\n",
    ), result.err
    assert [task["id"] for task in (await working.get(""))["data"]] == [kept["id"]]


async def test_what_matches_is_erased_whether_it_waits_or_has_ended(working: Service, run: Taskd) -> None:
    await ended(working, 2, data={"patientId": "p"})
    await working.create(data={"patientId": "p"})
    kept = await working.create()
    result = await run("tasks", "erase", "--rql", "data.patientId=p", "--yes")
    assert (result.code, result.out) == (ExitCode.OK, "erase done: 3 of 3 tasks.\n"), result.err
    assert [task["id"] for task in (await working.get(""))["data"]] == [kept["id"]]


async def test_one_ended_task_is_replayed_with_other_data(working: Service, run: Taskd) -> None:
    [old] = await ended(working, data={"n": 1})
    result = await run("tasks", "replay", old["id"], "--data", '{"n": 2}', "--priority", "3", "--start", "+1h")
    [new] = (await working.get("?status=new"))["data"]
    assert (result.code, result.out) == (ExitCode.OK, f"Replayed {old['id']} as {new['id']}.\n"), result.err
    assert (new["replayOfTaskId"], new["data"], new["priority"]) == (old["id"], {"n": 2}, 3)


async def test_what_cannot_be_done_to_one_task_fails_and_says_why(working: Service, run: Taskd) -> None:
    task = await working.create()
    result = await run("tasks", "replay", task["id"])
    assert (result.code, result.out) == (ExitCode.FAILED, "")
    assert "it has not ended" in result.err
    result = await run("tasks", "replay", "0" * 24)
    assert result.code == ExitCode.NOT_FOUND


async def test_a_dry_run_shows_the_count_and_the_first(working: Service, run: Taskd) -> None:
    tasks = await ended(working, 12)
    result = await run("tasks", "replay", "--rql", "status=complete", "--dry-run")
    assert result.code == ExitCode.OK, result.err
    assert "12 tasks would have a turn, of which these are the first 10. Nothing was done." in result.out
    assert [task["id"] in result.out for task in tasks] == [True] * 10 + [False] * 2
    shown = json.loads((await run("tasks", "replay", "--rql", "status=failed", "--dry-run", "--json")).out)
    assert (shown["matched"], shown["first"]) == (0, [])
    assert (await working.get("?status=new"))["page"]["total"] == 0


async def test_it_asks_first_and_does_nothing_without_an_answer(
    working: Service, run: Taskd, monkeypatch: pytest.MonkeyPatch
) -> None:
    await working.create()
    asked: list[str] = []

    def answer(question: str, **_: object) -> bool:
        asked.append(question)
        return len(asked) > 1

    monkeypatch.setattr("click.confirm", answer)
    assert (await run("tasks", "cancel", "--rql", "status=new")).code == ExitCode.INTERRUPTED
    assert (await working.get("?status=new"))["page"]["total"] == 1
    assert (await run("tasks", "cancel", "--rql", "status=new")).code == ExitCode.OK
    assert (await working.get("?status=new"))["page"]["total"] == 0
    assert asked == ["Cancel 1 task?"] * 2


@pytest.mark.parametrize("arguments", [(), ("0" * 24, "--rql", "status=new")])
@pytest.mark.parametrize("command", ["cancel", "replay", "delete"])
async def test_one_task_or_many_must_be_named(run: Taskd, command: str, arguments: tuple[str, ...]) -> None:
    result = await run("tasks", command, *arguments)
    assert result.code == ExitCode.USAGE
    assert "--rql" in result.err


async def test_a_query_that_makes_no_sense_is_told_of(run: Taskd) -> None:
    result = await run("tasks", "cancel", "--rql", "status=new&limit(3)", "--yes")
    assert result.code == ExitCode.FAILED
    assert "limit has no place in it" in result.err


async def test_operations_are_listed_shown_and_aborted(service: Service, run: Taskd) -> None:
    await service.create()
    async with service.client.post("/taskd/v1/operations", json={"action": "cancel", "rql": "status=new"}) as response:
        operation = await response.json()
    [listed] = json.loads((await run("operations", "list", "--filter", "status=running", "--json")).out)
    assert listed == operation
    table = await run("operations", "list")
    assert operation["id"] in table.out
    assert "status=new" in table.out
    shown = await run("operations", "show", operation["id"], "--json")
    assert json.loads(shown.out) == operation
    aborted = await run("operations", "abort", operation["id"])
    assert (aborted.code, aborted.out) == (ExitCode.OK, "cancel aborted: 0 of 1 task.\n")
    assert (await run("operations", "abort", operation["id"])).code == ExitCode.FAILED
    assert (await run("operations", "show", "0" * 24)).code == ExitCode.NOT_FOUND


async def test_interrupted_it_goes_on_and_says_how_to_end_it(
    service: Service, run: Taskd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No work is done here, so the command would wait for ever."""

    def interrupt(delay_s: float) -> None:
        raise KeyboardInterrupt

    await service.create()
    monkeypatch.setattr("time.sleep", interrupt)
    result = await run("tasks", "cancel", "--rql", "status=new", "--yes")
    assert result.code == ExitCode.INTERRUPTED
    [operation] = (await service.store.find_operations(Query())).rows
    assert f"taskd operations show {operation.id}" in result.err
    assert operation.is_running
