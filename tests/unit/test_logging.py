"""The daemon's log, and what text of others can do to it."""

import json
import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.system.logging import JsonFormatter, TextFormatter

FORGED = [
    "x\n<3>taskd.auth: everybody was let in",
    "x\r<3>taskd.auth: everybody was let in",
    "x\0<3>taskd.auth: everybody was let in",
    "x\x85<3>taskd.auth: everybody was let in",
    "x\u2028<3>taskd.auth: everybody was let in",
    "x\x1b[2J\x1b[1;1Hcleared",
    "x\u202edrawkcab",
    "x\x7f\x9b2J",
    "x\ud800",
]
WRITER = """
import logging, sys
from taskd.system.logging import LogSettings, set_up_logging
set_up_logging(LogSettings(format=sys.argv[1]))
logging.getLogger("taskd.test").warning("task_failed message=%s", sys.stdin.read())
"""


def record(text: str, cause: Exception | None = None) -> logging.LogRecord:
    exc_info = (type(cause), cause, None) if cause else None
    return logging.LogRecord("taskd.test", logging.WARNING, "", 0, "task_failed message=%s", (text,), exc_info)


def written(text: str, style: str, **environment: str) -> bytes:
    """What a process that logs ``text`` writes to its standard error."""
    command = [sys.executable, "-c", WRITER, style]
    sent = text.encode("utf-8", "surrogatepass")
    options = {"PYTHONIOENCODING": "utf-8:surrogatepass", "PYTHONPATH": ":".join(sys.path), **environment}
    return subprocess.run(command, input=sent, env=options, capture_output=True, check=True, timeout=60).stderr


@pytest.mark.parametrize("text", FORGED)
def test_what_others_wrote_forges_no_entry_in_the_journal_of_systemd(text: str) -> None:
    first, *further = written(text, "text", JOURNAL_STREAM="8:1").rstrip(b"\n").split(b"\n")
    assert first.startswith(b"<4>taskd.test: task_failed message=x")
    assert all(line.startswith(b"<4>    ") for line in further)
    assert all(line.decode().isprintable() for line in (first, *further))


@pytest.mark.parametrize("text", FORGED)
def test_what_others_wrote_forges_no_entry_of_text(text: str) -> None:
    first, *further = written(text, "text").rstrip(b"\n").split(b"\n")
    assert b" WARNING taskd.test: task_failed message=x" in first
    assert all(line.startswith(b"    ") for line in further)
    assert all(line.decode().isprintable() for line in (first, *further))


@pytest.mark.parametrize("text", FORGED)
def test_what_others_wrote_forges_no_entry_of_json(text: str) -> None:
    (line,) = written(text, "json").rstrip(b"\n").decode().splitlines()
    assert line.isprintable()
    assert all(part.isprintable() for part in json.loads(line)["message"].split("\n"))


@given(st.text(), st.text())
def test_an_entry_is_one_whatever_its_message_and_its_traceback_say(text: str, raised: str) -> None:
    lines = TextFormatter(for_systemd=True).format(record(text, ValueError(raised))).split("\n")
    assert [line.startswith("<4>    ") for line in lines] == [False] + [True] * (len(lines) - 1)
    assert all(line.isprintable() for line in lines)
    assert JsonFormatter().format(record(text, ValueError(raised))).isprintable()


def test_a_line_is_too_short_for_the_journal_to_begin_another_entry_in_it() -> None:
    (line,) = TextFormatter(for_systemd=True).format(record("\U0001f600" * 1_000_000)).split("\n")
    assert len(line.encode()) < 48 * 1024
    assert line.endswith("… (1000020 characters)")


def test_what_can_be_printed_stays_as_it_is() -> None:
    text = "Größe 5 µs – naïve 日本 \\x1b \U0001f600"
    assert TextFormatter(for_systemd=True).format(record(text)) == f"<4>taskd.test: task_failed message={text}"
