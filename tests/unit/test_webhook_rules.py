"""The rules of webhooks and deliveries that need no store."""

import asyncio
import base64
import sqlite3

import pytest

from taskd.model import delivery as transitions
from taskd.model import limits
from taskd.model import task as transitions_of_tasks
from taskd.model.delivery import Attempt, Delivery, DeliveryStatus
from taskd.model.task import TaskDraft
from taskd.model.task_extras import TaskExtras, UniqueKey
from taskd.model.webhook import Webhook
from taskd.model.webhook_content import body_of, without_data
from taskd.rql.conditions import TASK_KINDS, Condition, task_condition
from taskd.rql.errors import RqlError
from taskd.store.embedded.catalogue.deliveries import CREATE, TOO_OLD
from taskd.store.embedded.catalogue.sql.fields import TASKS
from taskd.store.embedded.webhook_matching import looks_at_data, matching
from taskd.webhooks.signature import headers, is_secret, new_secret

DELIVERY = Delivery("d" * 24, "a" * 24, "task.complete", "b" * 24, 0, b'{"id":"x"}', 0)


def test_a_condition_takes_the_fields_of_a_task_for_what_a_listing_takes_them_for() -> None:
    assert {name: field.kind for name, field in TASKS.fields.items()} == dict(TASK_KINDS)


@pytest.mark.parametrize(
    "text", ["limit(5)", "sort(id)", "select(id)", "a=1&skipCount()", "dat.a=1", "eq(data.a", "or("]
)
def test_a_condition_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(RqlError):
        task_condition(text)


def test_a_condition_knows_what_it_looks_at() -> None:
    condition = task_condition("(eq(data.a,1)|contains(error))&status=failed")
    assert condition.fields == {"data", "error", "status"}
    assert condition.holds({"data": {"a": 1}, "status": "failed"})
    assert not condition.holds({"data": {"a": 2}, "status": "failed"})
    assert Condition("", TASK_KINDS).holds({})


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_24_to_64_bytes_are_secrets(size: int) -> None:
    assert is_secret("whsec_" + base64.b64encode(bytes(size)).decode())
    assert is_secret(new_secret())


@pytest.mark.parametrize(
    "text",
    [
        *("", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ", "whsec_\u00e9" + "A" * 32, "whsec_****" * 8),
        *("whsec_" + base64.b64encode(bytes(size)).decode() for size in (23, 65)),
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_secret(text)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example that stands there."""
    signed = headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_was_delivered_or_failed_for_good_changes_no_more_until_it_is_tried_again() -> None:
    delivered = transitions.after(DELIVERY, Attempt(DELIVERY.id, 5, 200))
    assert (delivered.status, delivered.attempts, delivered.error) == (DeliveryStatus.DELIVERED, 1, None)
    again = transitions.again(delivered, 7)
    assert (again.status, again.attempts, again.next_ms) == (DeliveryStatus.WAITING, 0, 7)


def test_the_jitter_is_the_same_for_the_same_attempt_and_another_for_others() -> None:
    first, second = (transitions.after(DELIVERY, Attempt(DELIVERY.id, 0, error="no")) for _ in range(2))
    assert first == second
    other = transitions.after(
        Delivery("e" * 24, *[getattr(DELIVERY, f) for f in DELIVERY.__struct_fields__[1:]]),
        Attempt("e" * 24, 0, error="no"),
    )
    assert other.next_ms != first.next_ms


def test_data_that_does_not_fit_is_left_out_to_the_byte() -> None:
    room = limits.WEBHOOK_BODY_MAX_BYTES - len(body_of(DELIVERY, b'""'))
    assert len(body_of(DELIVERY, b'"%b"' % (b"x" * room))) == limits.WEBHOOK_BODY_MAX_BYTES
    assert body_of(DELIVERY, b'"%b"' % (b"x" * (room + 1))) == without_data(DELIVERY)


@pytest.mark.parametrize(
    ("text", "holds"),
    [("unique.key=k", True), ("unique.key=j", False), ("replayOfTaskId=o", True), ("unique.while=60", True)],
)
def test_a_condition_sees_what_few_tasks_have(text: str, holds: bool) -> None:
    webhook = Webhook("w", "https://example.com", ("task.canceled",), (), 0, 0, rql=text)
    draft = TaskDraft("f", b"{}", 0, extras=TaskExtras(unique=UniqueKey("k", 60), replay_of_task_id="o"))
    ended = transitions_of_tasks.cancel(transitions_of_tasks.create(draft, "t", 1, 0), 0)
    assert asyncio.run(matching([ended], [webhook])) == ({"t": [webhook]} if holds else {})


def test_a_condition_that_is_not_understood_any_more_tells_of_all() -> None:
    webhook = Webhook("w", "https://example.com", ("task.complete",), (), 0, 0, rql="something(else)")
    task = transitions_of_tasks.create(TaskDraft("f", b"{}", 0), "t", 1, 0)
    ended = transitions_of_tasks.complete(transitions_of_tasks.start(task, 0), 0)
    assert not looks_at_data([webhook])
    assert asyncio.run(matching([ended], [webhook])) == {"t": [webhook]}


def test_what_ended_long_ago_is_found_without_a_look_at_what_waits() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(CREATE)
    sql = "EXPLAIN QUERY PLAN DELETE FROM webhook_deliveries WHERE "
    plan = " ".join(str(row) for row in connection.execute(sql + TOO_OLD, (5,)))
    assert "USING INDEX webhook_deliveries_ended (seq<?)" in plan or "webhook_deliveries_ended (rowid<?)" in plan, plan
    connection.close()
