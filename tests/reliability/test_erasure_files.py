"""Erased tasks are in no file of the data directory, whatever else is in it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.clocks import FakeClock

from taskd.model.delivery import Attempt
from taskd.model.event import Event, EventDraft
from taskd.model.idempotency import IdempotencyKey
from taskd.model.logline import LogLine
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.task_extras import TaskExtras, UniqueKey
from taskd.model.webhook import WebhookDraft, WebhookSecret
from taskd.rql.parser import parse
from taskd.store.base import Completed, Failed, Outcome, Retried, StoreUnavailableError
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

PATIENT = "patient-4711-0815"
OTHERS = 1_500


async def a_store(data: Path, clock: FakeClock) -> EmbeddedStore:
    fatal: list[BaseException] = []
    settings = StoreSettings(data=str(data), indexes=("data.patientId",))
    store = EmbeddedStore(settings, clock, fatal.append)
    await store.start()
    return store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = await a_store(tmp_path, FakeClock())
    yield store
    await store.stop()


def files_with(data: Path, text: str) -> list[str]:
    """The files that have these bytes in them; all that there are are looked at, whole."""
    paths = [path for path in data.rglob("*") if path.is_file()]
    return sorted(path.name for path in paths if text.encode() in path.read_bytes())


def draft(patient: str, **more: object) -> TaskDraft:
    data = b'{"patientId":"%s","pad":"%s"}' % (patient.encode(), b"x" * (len(patient) * 37 % 900))
    return TaskDraft("f", data, 0, tags=(f"of {patient}",), **more)  # type: ignore[arg-type]


def an_end(task: Task) -> Outcome:
    """One in three tasks fails, and half of these are tried again; each has printed whose it is."""
    patient = json.loads(task.data)["patientId"]
    lines = (LogLine(1, f"looking at {patient}"),)
    error = TaskError(ErrorType.RUNTIME, "E", f"no bed for {patient}")
    if task.seq % 3:
        return Completed(task.id, lines)
    if task.seq % 2 or task.retry_for_task_ids:
        return Failed(task.id, error, lines)
    return Retried(task.id, error, draft(patient, retry_for_task_ids=(task.id,)), lines)


async def run_through(store: EmbeddedStore) -> None:
    """Everything that waits ends, in one way or another."""
    while claimed := await store.claim(100):
        await store.settle([an_end(task) for task in claimed])


async def with_a_patient_among_others(store: EmbeddedStore) -> list[Task]:
    """Their tasks, in pages and segments with those of many others; large data, a large tag and a key among them."""
    for _ in range(3):
        others = [draft(f"somebody-{n}") for n in range(OTHERS // 3)]
        await store.add([*others[:200], draft(PATIENT), *others[200:]])
        await store.add([draft(PATIENT)] * 5, IdempotencyKey(b"k", b"fingerprint of " + PATIENT.encode()))
        await run_through(store)
    unique = TaskExtras(unique=UniqueKey(f"visit of {PATIENT}", 1_000_000_000))
    await store.add_unique([TaskDraft("f", b'{"patientId":"%s"}' % PATIENT.encode(), 0, extras=unique)])
    await run_through(store)
    large = b'{"a":"%s","patientId":"%s"}' % (b"y" * 90_000, PATIENT.encode())
    await store.add([TaskDraft("f", large, 0, tags=(PATIENT,))])
    await store.cancel((await store.find(parse("status=new"))).rows[0].id)
    return (await store.find(parse(f"data.patientId={PATIENT}&limit(100)"))).rows


def put_aside_damaged_copies(data: Path) -> None:
    for ending in ("", "-wal"):
        (data / f"catalogue.db.broken-17{ending}").write_bytes((data / f"catalogue.db{ending}").read_bytes())
    (data / "journal.damaged-17").mkdir()
    (data / "journal.damaged-17" / "1.journal").write_text(PATIENT)


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_patients_tasks_are_in_no_file_once_they_are_erased(tmp_path: Path, is_restarted: bool) -> None:
    """Nor are their ids. Right after the work most is in the write-ahead log, after a restart in the file itself."""
    store = await a_store(tmp_path, FakeClock())
    tasks = await with_a_patient_among_others(store)
    if is_restarted:
        await store.stop()
        store = await a_store(tmp_path, FakeClock())
    put_aside_damaged_copies(tmp_path)
    everything = (await store.find(parse("limit(1)"))).total
    assert await store.erase_tasks([task.id for task in tasks]) == len(tasks) > 9
    before = files_with(tmp_path, PATIENT)
    ending = "" if is_restarted else "-wal"
    assert {f"catalogue.db{ending}", f"catalogue.db.broken-17{ending}", "1.journal"}.issubset(before)
    await store.purge()
    for text in (PATIENT, *(task.id for task in tasks)):
        assert files_with(tmp_path, text) == []
    assert (await store.find(parse("limit(1)"))).total == everything - len(tasks)  # type: ignore[operator]
    assert (await store.find(parse("data.patientId=somebody-7"))).total == 4
    await store.stop()


WEBHOOK = WebhookDraft(
    "https://example.com", ("task.complete", "task.failed", "of"), (WebhookSecret("whsec_"),), include_data=True
)


async def with_deliveries(store: EmbeddedStore) -> tuple[str, list[Task], Event]:
    """One that has ended, some that wait and one that is owed, of tasks; and one of an event that names a task."""
    webhook = await store.add_webhook(WEBHOOK)
    tasks = await store.add([draft(PATIENT) for _ in range(4)])
    await store.settle([Completed(task.id) for task in (await store.claim(4))[:3]])
    await store.fan_out(10)
    [begun] = await store.begin_deliveries(webhook.id, 1)
    await store.settle_deliveries([Attempt(begun.id, 1, 200)])
    await store.settle([Completed(tasks[3].id)])
    content = b'{"of":"%s","task":"%s"}' % (PATIENT.encode(), tasks[0].id.encode())
    event = await store.publish(EventDraft("of", content, f"event of {PATIENT}"))
    return webhook.id, tasks, event


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_nobody_is_told_of_what_was_erased_and_no_file_has_it(tmp_path: Path, is_restarted: bool) -> None:
    store = await a_store(tmp_path, FakeClock())
    webhook_id, tasks, event = await with_deliveries(store)
    if is_restarted:
        await store.stop()
        store = await a_store(tmp_path, FakeClock())
    assert (await store.find_deliveries(webhook_id, parse(""))).total == 4
    assert await store.erase_tasks([task.id for task in tasks]) == 4
    await store.purge()
    for text in (PATIENT, event.id, *(task.id for task in tasks)):
        assert files_with(tmp_path, text) == []
    assert store.next_delivery_ms() is None
    assert (await store.find_deliveries(webhook_id, parse(""))).rows == []
    await store.stop()


async def test_all_else_is_there_after_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    store = await a_store(tmp_path, clock)
    tasks = await with_a_patient_among_others(store)
    [waiting] = await store.add([TaskDraft("f", b'{"n":1}', clock() + 1)])
    await store.erase_tasks([task.id for task in tasks])
    await store.purge()
    listed = (await store.find(parse("sort(id)&limit(100)"))).rows
    await store.stop()
    assert files_with(tmp_path, PATIENT) == []
    store = await a_store(tmp_path, clock)
    assert (await store.find(parse("sort(id)&limit(100)"))).rows == listed
    assert await store.get(waiting.id) == waiting
    await store.stop()


async def test_creation_goes_on_while_files_are_written_anew(store: EmbeddedStore, tmp_path: Path) -> None:
    tasks = await with_a_patient_among_others(store)
    await store.erase_tasks([task.id for task in tasks])
    purging = asyncio.create_task(store.purge())
    added = []
    while not purging.done():
        added += await store.add([TaskDraft("f", b'{"n":1}', 0)])
    await purging
    assert files_with(tmp_path, PATIENT) == []
    assert (await store.find(parse("status=new&limit(1)"))).total == len(added)


async def test_what_webhooks_are_told_of_is_in_no_file_either(store: EmbeddedStore, tmp_path: Path) -> None:
    secret = WebhookSecret("whsec_" + "A" * 32)
    wanted = WebhookDraft("https://example.com/hook", ("task.complete",), (secret,), include_data=True)
    hook = await store.add_webhook(wanted)
    tasks = await with_a_patient_among_others(store)
    while (await store.fan_out(200)).events:
        pass
    begun = await store.begin_deliveries(hook.id, 600)
    await store.settle_deliveries([Attempt(delivery.id, 1, 200) for delivery in begun])
    await store.erase_tasks([task.id for task in tasks])
    await store.purge()
    for text in (PATIENT, *(task.id for task in tasks)):
        assert files_with(tmp_path, text) == []
    assert len((await store.find_deliveries(hook.id, parse("status=waiting&limit(50)"))).rows) == 50


async def test_a_listing_that_goes_on_has_the_purge_tried_again(store: EmbeddedStore, tmp_path: Path) -> None:
    tasks = await with_a_patient_among_others(store)
    await store.erase_tasks([task.id for task in tasks])
    store._catalogue.writer._connection.execute("PRAGMA busy_timeout = 1")
    reader = store._catalogue._reader._connections[0]
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM tasks").fetchone()
    with pytest.raises(StoreUnavailableError):
        await store.purge()
    reader.execute("ROLLBACK")
    await store.purge()
    assert files_with(tmp_path, PATIENT) == []
