"""``taskd journal`` on journals that a real daemon wrote, sound and damaged."""

import json
import os
from pathlib import Path

import pytest

from taskd.auth.header_files import HEADER_FILE, read_token
from taskd.cli import main
from taskd.cli.client import ApiClient
from taskd.cli.demo_daemon import running_daemon
from taskd.cli.exit_codes import ExitCode
from taskd.model.webhook import WebhookDraft, WebhookSecret
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.webhooks.signature import new_secret

SERVICE_UID = 61_184
LATER = "2100-01-01T00:00:00.000Z"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journal")
    with running_daemon(["--data", str(folder / "data"), "--listen", "127.0.0.1:0"], folder / "log") as daemon:
        for number in range(3):
            body = {"functionName": "f", "data": {"n": number}, "startTimestamp": LATER}
            ApiClient(daemon.url, read_token(folder / "data" / HEADER_FILE)).post("/", body)
    return folder / "data"


@pytest.fixture
def data(written: Path, tmp_path: Path) -> Path:
    """A copy, for tests that damage it."""
    (tmp_path / "journal").mkdir()
    for path in (written / "journal").glob("*.journal"):
        (tmp_path / "journal" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def newest_segment(data: Path) -> Path:
    return max((data / "journal").glob("*.journal"))


def test_a_sound_journal_is_called_so(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "verify", str(written)]) == ExitCode.OK
    assert capsys.readouterr().out == "Sound: 3 frames in 1 segment read, 3 live tasks.\n"


def test_a_torn_tail_is_told_and_is_no_damage(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = newest_segment(data).read_bytes()
    newest_segment(data).write_bytes(content.rstrip(b"\0")[:-5])
    assert main(["journal", "verify", str(data)]) == ExitCode.OK
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Sound: 2 frames in 1 segment read, 2 live tasks."
    assert second.startswith("Torn tail: ")


def damage(data: Path) -> Path:
    """Damages the first frame, which later ones say was synced."""
    path = newest_segment(data)
    content = bytearray(path.read_bytes())
    content[80] ^= 0xFF
    path.write_bytes(content)
    return path


def test_damage_is_told_with_file_and_offset(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = damage(data)
    assert main(["journal", "verify", str(data)]) == ExitCode.FAILED
    captured = capsys.readouterr()
    assert captured.out.startswith("Damaged: ")
    assert f"{path} is damaged at byte " in captured.out
    assert main(["journal", "dump", str(data)]) == ExitCode.FAILED
    assert "is damaged at byte" in capsys.readouterr().err


def test_a_report_can_be_had_in_json(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "verify", str(written), "--json"]) == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["live_tasks"], report["damage"]) == (3, 3, None)


def test_a_dump_has_a_line_of_json_for_every_frame(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "dump", str(written)]) == ExitCode.OK
    frames = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    events = [event for frame in frames for event in frame["events"]]
    assert {event["event"] for event in events} == {"Added"}
    assert [task["data"] for event in events for task in event["tasks"]] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_stats_count_tasks_and_events(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "stats", str(written), "--json"]) == ExitCode.OK
    stats = json.loads(capsys.readouterr().out)
    assert (stats["waiting_tasks"], stats["events"]) == (3, {"Added": 3})
    assert main(["journal", "stats", str(written)]) == ExitCode.OK
    assert "waiting tasks  3" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["verify", "dump", "stats"])
def test_a_folder_without_a_journal_is_told_so(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", command, str(tmp_path)]) == ExitCode.FAILED
    assert capsys.readouterr().err.startswith(f"taskd: {tmp_path} is no data directory of taskd")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work on somebody else's files")
def test_what_root_repairs_stays_its_owners(data: Path) -> None:
    damage(data)
    for path in (data, *data.rglob("*")):
        os.chown(path, SERVICE_UID, SERVICE_UID)
    assert main(["journal", "repair", str(data)]) == ExitCode.OK
    found = [data, *data.rglob("*")]
    assert {"lock", "journal"} < {path.name for path in found}
    assert any(path.parent.name.startswith("journal.damaged-") for path in found)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in found} == {(SERVICE_UID, SERVICE_UID)}
    assert not any(path.stat().st_mode & 0o077 for path in (data / "lock", newest_segment(data)))


async def test_a_dump_has_no_secrets_of_webhooks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, secret = EmbeddedStore(StoreSettings(data=str(tmp_path))), new_secret()
    await store.start()
    made = await store.add_webhook(WebhookDraft("https://example.com", ("mine",), (WebhookSecret(secret),)))
    await store.stop()
    assert main(["journal", "dump", str(tmp_path)]) == ExitCode.OK
    dumped = capsys.readouterr().out
    assert made.id in dumped
    assert secret not in dumped
