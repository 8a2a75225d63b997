"""The client commands against a real daemon with real functions: one daemon for the whole file."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import taskd
from taskd.auth.header_files import header_file, read_token
from taskd.cli import main
from taskd.cli.client import ApiClient
from taskd.cli.demo_daemon import running_daemon
from taskd.cli.exit_codes import ExitCode
from taskd.model.timestamps import parse_rfc3339

EXAMPLES = Path(taskd.__file__).parent / "examples"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:odd:prod"
FAILING = "def handler(event, context):\n    raise ValueError('no luck')\n"
SILENT = "def handler(event, context):\n    return None\n"


class Result(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == ExitCode.OK, self.err
        return json.loads(self.out)


Taskd = Callable[..., Result]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("daemon")
    with running_daemon(["--data", str(folder / "data"), "--listen", "127.0.0.1:0"], folder / "log") as daemon:
        for name, code in (("failing", FAILING), ("silent", SILENT)):
            assert main(["functions", "deploy", str(make_function(folder, name, code)), "--url", daemon.url]) == 0
        deploy = ["functions", "deploy", str(EXAMPLES / "hello-python"), "--url", daemon.url]
        assert main(deploy) == ExitCode.OK
        yield daemon.url


def make_function(folder: Path, name: str, code: str, **settings: Any) -> Path:
    function = folder / name
    function.mkdir()
    descriptor = {"name": name, "entryPoint": "index.handler", "runtime": "python3.12", **settings}
    (function / "function.json").write_text(json.dumps(descriptor))
    (function / "index.py").write_text(code)
    return function


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Taskd:
    monkeypatch.setenv("TASKD_URL", url)

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return call


def test_a_function_is_created_and_deleted(run: Taskd, tmp_path: Path) -> None:
    folder = make_function(tmp_path, "life", SILENT, timeLimit=7, description="first")
    assert run("functions", "deploy", str(folder)).out == "Created life: 1 file, 0.2 KiB.\n"
    details = run("functions", "show", "life", "--json").json()
    assert (details["description"], details["timeLimit"]) == ("first", 7)
    assert "life" in {row["name"] for row in run("functions", "list", "--json").json()}
    assert run("functions", "delete", "life").code == ExitCode.OK
    assert run("functions", "show", "life").code == ExitCode.NOT_FOUND


def test_deploying_can_answer_in_json(run: Taskd, tmp_path: Path) -> None:
    folder = make_function(tmp_path, "answering", SILENT)
    assert run("functions", "deploy", str(folder), "--json").json()["name"] == "answering"


def test_a_setting_that_the_server_refuses_is_told(run: Taskd, tmp_path: Path) -> None:
    folder = make_function(tmp_path, "hasty", SILENT, timeLimit=1)
    result = run("functions", "deploy", str(folder))
    assert result.code == ExitCode.FAILED
    assert result.err.startswith("taskd: error 15 FIELD_FORMAT_EXCEPTION: ")
    assert "timeLimit" in result.err


def test_functions_are_listed_in_a_table(run: Taskd) -> None:
    header, _, *rows = run("functions", "list").out.splitlines()
    assert header.split() == ["NAME", "DESCRIPTION", "UPDATED"]
    assert "hello-python" in {row.split()[0] for row in rows}


def test_a_task_that_is_waited_for_and_completes_exits_with_0(run: Taskd) -> None:
    result = run("tasks", "create", "hello-python", "--data", '{"heartRate": 131}', "--wait")
    assert result.code == ExitCode.OK
    assert result.out.splitlines()[-1].endswith(" complete")


def test_a_task_that_is_waited_for_and_fails_exits_with_3(run: Taskd) -> None:
    result = run("tasks", "create", "failing", "--wait")
    assert result.code == ExitCode.TASK_FAILED
    assert result.out.splitlines()[-1].endswith(" failed  ValueError: no luck")


def test_waiting_can_answer_in_json(run: Taskd) -> None:
    task = run("tasks", "create", "silent", "--wait", "--json").json()
    assert task["status"] == "complete"


def test_a_task_called_off_exits_with_6_where_it_is_watched(run: Taskd) -> None:
    task = run("tasks", "create", "silent", "--start", "+1h", "--json").json()
    assert run("tasks", "cancel", task["id"]).out == f"Canceled {task['id']}.\n"
    assert run("tasks", "watch", task["id"]).code == ExitCode.TASK_CANCELED
    again = run("tasks", "cancel", task["id"])
    assert again.code == ExitCode.FAILED
    assert again.err.startswith("taskd: error 27 ILLEGAL_STATE_EXCEPTION: ")


def test_what_a_task_is_given_is_what_it_gets(run: Taskd) -> None:
    arguments = ["--data", '{"é": [1, {"b": null}]}', "--priority", "-5", "--tag", "a b", "--tag", "ç"]
    created = run("tasks", "create", "silent", "--start", "+2h30m", *arguments, "--json").json()
    shown = run("tasks", "show", created["id"], "--json").json()
    assert shown == created
    assert (shown["data"], shown["priority"], shown["tags"]) == ({"é": [1, {"b": None}]}, -5, ["a b", "ç"])
    delay_ms = (parse_rfc3339(shown["startTimestamp"]) or 0) - (parse_rfc3339(shown["creationTimestamp"]) or 0)
    assert 0 <= 9_000_000 - delay_ms < 60_000


def test_data_may_come_from_a_file(run: Taskd, tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('{"from": "file"}')
    task = run("tasks", "create", "silent", "--start", "+1h", "--data", f"@{path}", "--json").json()
    assert task["data"] == {"from": "file"}


def test_data_may_come_from_standard_input(run: Taskd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"from": "stdin"}')))
    task = run("tasks", "create", "silent", "--start", "+1h", "--data", "-", "--json").json()
    assert task["data"] == {"from": "stdin"}


def test_creating_says_what_was_created(run: Taskd) -> None:
    out = run("tasks", "create", "silent", "--start", "+1h", "--priority", "7").out
    assert out.startswith("Created ")
    assert " of silent, priority 7, due in 59 min 5" in out


def test_data_over_the_limit_is_told_by_the_server(run: Taskd, tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    path.write_text(json.dumps({"large": "x" * 7_000_000}))
    result = run("tasks", "create", "silent", "--data", f"@{path}")
    assert result.code == ExitCode.FAILED
    assert result.err.startswith("taskd: error 1414 BODY_TOO_LARGE_EXCEPTION: ")


def test_tasks_are_found_by_status_function_and_query(run: Taskd) -> None:
    for function, priority in ((ARN, 41), (ARN, 42), ("silent", 42)):
        run("tasks", "create", function, "--start", "+1h", "--priority", str(priority))
    by_function = run("tasks", "list", "--function", ARN, "--status", "new", "--json").json()
    assert [task["priority"] for task in by_function] == [42, 41]
    either = ["--filter", "priority=41|eq(priority,42)"]
    found = run("tasks", "list", "--function", ARN, *either, "--json").json()
    assert [task["priority"] for task in found] == [42, 41]
    ascending = run("tasks", "list", "--filter", "ge(priority,41)&sort(priority)", "--json").json()
    assert [task["priority"] for task in ascending] == [41, 42, 42]
    assert run("tasks", "list", "--status", "retried", "--json").json() == []


def test_a_wrong_query_is_told_with_its_position(run: Taskd) -> None:
    result = run("tasks", "list", "--filter", "eq(status")
    assert result.code == ExitCode.FAILED
    assert result.err.startswith("taskd: error 19 INVALID_RQL_EXCEPTION: ")


def test_a_listing_longer_than_a_page_is_read_page_by_page(run: Taskd, url: str) -> None:
    path = header_file(url)
    assert path is not None
    client = ApiClient(url, read_token(path))
    for number in range(105):
        later = {"functionName": "many", "priority": number, "startTimestamp": "2100-01-01T00:00:00Z"}
        client.post("/", later)
    shown = run("tasks", "list", "--function", "many", "--limit", "103", "--json").json()
    assert [task["priority"] for task in shown] == list(range(104, 1, -1))
    assert len(run("tasks", "list", "--function", "many", "--limit", "1000", "--json").json()) == 105


def test_a_table_holds_nothing_that_could_steer_the_terminal(run: Taskd) -> None:
    run("tasks", "create", "silent", "--start", "+1h", "--tag", "\x1b[2J\r\n[red]x[/red]", "--tag", "steering")
    shown = run("tasks", "list", "--filter", "eq(tags,steering)").out
    assert "\x1b" not in shown
    assert "[red]x[/red]" in shown
    assert len(shown.splitlines()) == 3


@pytest.mark.parametrize("tag", ["\x1b[2J", "\x9b2J", "\x7f", "\u202egnp.exe", "\u2066x", "a\u2028b", "a\r\nb"])
def test_nothing_that_is_printed_could_steer_the_terminal(run: Taskd, tag: str) -> None:
    run("tasks", "create", "silent", "--start", "+1h", "--tag", tag, "--tag", "printed")
    listing = ("tasks", "list", "--filter", "eq(tags,printed)")
    table, text = run(*listing).out, run(*listing, "--json").out
    assert all(char == "\n" or char.isprintable() for char in table + text)
    assert tag in [tag for task in json.loads(text) for tag in task["tags"]]


def test_an_empty_listing_leaves_standard_output_empty(run: Taskd) -> None:
    result = run("tasks", "list", "--function", "nobody")
    assert (result.code, result.out, result.err) == (ExitCode.OK, "", "No tasks.\n")


def test_a_task_is_shown_whole(run: Taskd) -> None:
    task = run("tasks", "create", "failing", "--wait", "--json")
    task_id = json.loads(task.out)["id"]
    shown = run("tasks", "show", task_id).out
    assert f"id                      {task_id}" in shown
    assert '{"type": "runtime", "name": "ValueError", "message": "no luck"}' in shown


def test_logs_are_what_the_function_printed(run: Taskd) -> None:
    task_id = json.loads(run("tasks", "create", "hello-python", "--wait", "--json").out)["id"]
    lines = run("tasks", "logs", task_id)
    assert lines.code == ExitCode.OK
    assert f" Scoring 0 measurements for task {task_id}" in lines.out.splitlines()[0]
    messages = [line["message"] for line in run("tasks", "logs", task_id, "--json").json()]
    assert messages[0] == f"Scoring 0 measurements for task {task_id}"
    assert run("tasks", "logs", task_id, "--follow").out == lines.out


def test_logs_are_followed_until_the_task_ends(run: Taskd) -> None:
    task = run("tasks", "create", "hello-python", "--start", "+300ms", "--json").json()
    assert "Scoring 0 measurements" in run("tasks", "logs", task["id"], "--follow").out


@pytest.mark.parametrize("start", ["now", "+1h"])
def test_a_task_without_log_lines_is_no_error(run: Taskd, start: str) -> None:
    wait = ["--wait"] if start == "now" else []
    task_id = json.loads(run("tasks", "create", "silent", "--start", start, "--json", *wait).out)["id"]
    result = run("tasks", "logs", task_id)
    assert (result.code, result.out, result.err) == (ExitCode.OK, "", "No log lines.\n")


def test_only_a_task_that_has_ended_is_deleted(run: Taskd) -> None:
    task = run("tasks", "create", "silent", "--start", "+1h", "--json").json()
    refused = run("tasks", "delete", task["id"])
    assert (refused.code, refused.err.split(":")[1]) == (ExitCode.FAILED, " error 27 ILLEGAL_STATE_EXCEPTION")
    run("tasks", "cancel", task["id"])
    assert run("tasks", "delete", task["id"]).out == f"Deleted {task['id']}.\n"
    assert run("tasks", "show", task["id"]).code == ExitCode.NOT_FOUND


@pytest.mark.parametrize("command", ["show", "logs", "watch", "cancel", "delete"])
def test_a_task_that_is_not_there_exits_with_4(run: Taskd, command: str) -> None:
    result = run("tasks", command, "0" * 24)
    assert result.code == ExitCode.NOT_FOUND
    assert result.err.startswith("taskd: error 16 RESOURCE_UNKNOWN_EXCEPTION: ")


@pytest.mark.parametrize("command", ["show", "delete"])
def test_a_function_that_is_not_there_exits_with_4(run: Taskd, command: str) -> None:
    assert run("functions", command, "no/such?function").code == ExitCode.NOT_FOUND
