"""``taskd tasks load`` against a real API."""

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest
from support.http.service import Service, http_service

from taskd.cli import main
from taskd.cli.exit_codes import ExitCode

LINE = '{"functionName": "hello"}\n'


async def load(service: Service, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["tasks", "load", *arguments, "--url", service.url])


async def test_a_file_and_standard_input_are_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, array = tmp_path / "lines", tmp_path / "array"
    lines.write_text(LINE * 1200)
    array.write_text(f"[{LINE}]")
    async with http_service(tmp_path) as service:
        assert await load(service, str(lines)) == ExitCode.OK
        assert await load(service, str(array)) == ExitCode.OK
        assert capsys.readouterr().out == "Created 1,200 tasks.\nCreated 1 task.\n"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINE.encode() * 2)))
        assert await load(service, "-", "--json") == ExitCode.OK
        page = await service.get("?sort(-id)&limit(2)")
        assert json.loads(capsys.readouterr().out) == [task["id"] for task in reversed(page["data"])]
        assert page["page"]["total"] == 1203


async def test_a_line_that_is_wrong_is_named_and_nothing_is_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, empty = tmp_path / "lines", tmp_path / "empty"
    lines.write_text(LINE + "{}\n")
    empty.touch()
    async with http_service(tmp_path) as service:
        assert await load(service, str(lines)) == ExitCode.FAILED
        assert "Task 1: " in capsys.readouterr().err
        assert await load(service, str(empty)) == ExitCode.FAILED
        assert await load(service, str(tmp_path / "absent")) == ExitCode.USAGE
        assert (await service.get(""))["page"]["total"] == 0
