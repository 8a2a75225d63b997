"""Deliveries as receivers see them: what comes, how often, and what a receiver can do to taskd."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from support.http.receiver import LOOPBACK, Receiver, receiving

from taskd.model import limits
from taskd.model import webhook as rules
from taskd.model.clock import system_clock_ms
from taskd.model.delivery import Delivery
from taskd.model.event import EventDraft
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.webhook import Webhook, WebhookDraft, WebhookSecret
from taskd.rql.parser import parse
from taskd.store.base import Completed, Failed
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.webhooks.addresses import AllowedAddresses
from taskd.webhooks.deliverer import Deliverer
from taskd.webhooks.resolver import Found
from taskd.webhooks.sender import Sender
from taskd.webhooks.settings import WebhookSettings
from taskd.webhooks.signature import new_secret

ENDS = ("task.complete", "task.failed", "task.retried", "task.canceled")
TIME_LIMIT_S = 1.0
"""For one attempt, where a test is about an attempt that takes too long."""


class Bench:
    """A store, and what delivers what is in it."""

    def __init__(self, store: EmbeddedStore, deliverer: Deliverer) -> None:
        self.store = store
        self.deliverer = deliverer
        self.secret = new_secret()

    async def webhook(self, url: str, **fields: Any) -> Webhook:
        draft = WebhookDraft(url, ENDS, (WebhookSecret(self.secret),))
        return await self.store.add_webhook(replace(draft, **fields))

    async def complete(self, data: bytes = b"{}", count: int = 1) -> list[Task]:
        await self.store.add([TaskDraft("f", data, self.store.now_ms()) for _ in range(count)])
        tasks = await self.store.claim(count)
        return [task for task in await self.store.settle([Completed(task.id) for task in tasks]) if task is not None]

    async def deliveries(self, webhook: Webhook) -> list[Delivery]:
        return (await self.store.find_deliveries(webhook.id, parse("limit(100)"))).rows

    async def until(self, webhook: Webhook, holds: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        async with asyncio.timeout(20):
            while not holds(found := await self.deliveries(webhook)):
                await asyncio.sleep(0.01)
        return found

    async def attempted(self, webhook: Webhook) -> Delivery:
        """Its only delivery, once it was attempted."""
        return (await self.until(webhook, lambda found: bool(found) and found[0].attempts > 0))[0]


@asynccontextmanager
async def bench(
    directory: Path, networks: tuple[str, ...] = LOOPBACK, *, max_in_flight: int = 64, **sender: Any
) -> AsyncIterator[Bench]:
    store = EmbeddedStore(StoreSettings(data=str(directory / "data")), system_clock_ms)
    await store.start()
    settings = WebhookSettings(networks, max_in_flight)
    fatal: list[BaseException] = []
    deliverer = Deliverer(store, Sender(AllowedAddresses(networks), **sender), settings, on_fatal=fatal.append)
    await deliverer.start()
    try:
        yield Bench(store, deliverer)
    finally:
        await deliverer.stop()
        await store.stop()
    assert not fatal


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def verified(secret: str, received: Any) -> dict[str, Any]:
    return dict(Verifier(secret).verify(received.body, received.headers))


async def test_the_end_of_a_task_is_told_as_standard_webhooks_has_it(tmp_path: Path, receiver: Receiver) -> None:
    async with bench(tmp_path) as on:
        webhook = await on.webhook(receiver.url)
        [task] = await on.complete(b'{"name":"Ada"}')
        [received] = await receiver.count(1)
        [delivery] = await on.until(webhook, lambda found: bool(found) and not found[0].is_waiting)
        body = verified(on.secret, received)
        assert body["type"] == "task.complete"
        assert body["timestamp"] == body["data"]["statusChangedTimestamp"]
        assert (body["data"]["id"], body["data"]["status"], body["data"]["functionName"]) == (task.id, "complete", "f")
        assert "data" not in body["data"]
        assert received.id == delivery.id
        assert received.headers["content-type"] == "application/json"
        assert (delivery.status, delivery.status_code, delivery.error) == ("delivered", 204, None)
        with pytest.raises(WebhookVerificationError):
            verified(new_secret(), received)


async def test_an_error_is_told_but_not_all_of_a_long_one(tmp_path: Path, receiver: Receiver) -> None:
    async with bench(tmp_path) as on:
        await on.webhook(receiver.url)
        [task] = await on.store.add([TaskDraft("f", b"{}", on.store.now_ms())])
        await on.store.claim(1)
        await on.store.settle([Failed(task.id, TaskError(ErrorType.RUNTIME, "E" * 9_000, "\u20ac" * 16_000))])
        [received] = await receiver.count(1)
        error = received.json["data"]["error"]
        most = limits.WEBHOOK_ERROR_TEXT_MAX_CHARS
        assert error == {"type": "runtime", "name": "E" * most, "message": "\u20ac" * most}
        assert len(received.body) <= limits.WEBHOOK_BODY_MAX_BYTES


async def test_data_is_told_where_it_was_asked_for_and_fits(tmp_path: Path, receiver: Receiver) -> None:
    async with bench(tmp_path) as on:
        await on.webhook(receiver.url, include_data=True)
        await on.complete(b'{"name":"Ada"}')
        await receiver.count(1)
        await on.complete(b'{"long":"%b"}' % (b"x" * 19_900))
        await receiver.count(2)
        await on.complete(b'{"long":"%b"}' % (b"x" * 5_000_000))
        first, second, third = [each.json["data"] for each in await receiver.count(3)]
        assert first["data"] == {"name": "Ada"}
        assert (second["dataOmitted"], third["dataOmitted"]) == (True, True)
        assert "data" not in second
        assert "data" not in third


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"a":1}', {"data": {"a": 1}}),
        (None, {"data": {}}),
        (b'{"a":"%b"}' % (b"x" * limits.WEBHOOK_BODY_MAX_BYTES), {"dataOmitted": True}),
    ],
)
async def test_what_an_event_is_about_is_told_where_it_was_asked_for_and_fits(
    tmp_path: Path, receiver: Receiver, content: bytes | None, told: dict[str, Any]
) -> None:
    """And never that of another sender's event with the same id."""
    async with bench(tmp_path) as on:
        await on.webhook(receiver.url, events=("order",), include_data=True)
        await on.store.publish(EventDraft("other", b'{"b":1}', "7", created_by_user_id="5" * 24))
        event = await on.store.publish(EventDraft("order", content, "7", created_by_user_id="6" * 24))
        [received] = await receiver.count(1)
        body = verified(on.secret, received)
        about = {"id": "7", "creationTimestamp": body["timestamp"], "createdByUserId": event.created_by_user_id}
        assert (body["type"], body["data"]) == ("order", {**about, **told})


async def test_a_rotated_secret_signs_beside_the_one_before(tmp_path: Path, receiver: Receiver) -> None:
    async with bench(tmp_path) as on:
        webhook, second, third = await on.webhook(receiver.url), new_secret(), new_secret()
        now_ms = on.store.now_ms()
        await on.store.change_webhook(webhook.id, lambda kept: rules.rotate(kept, second, now_ms, 60_000))
        await on.complete()
        [received] = await receiver.count(1)
        assert verified(on.secret, received) == verified(second, received)
        await on.store.change_webhook(webhook.id, lambda kept: rules.rotate(kept, third, now_ms, 0))
        await on.complete()
        received = (await receiver.count(2))[1]
        assert verified(third, received)
        with pytest.raises(WebhookVerificationError):
            verified(second, received)


@pytest.mark.parametrize("status", [301, 307, 308, 400, 500])
async def test_any_status_but_a_success_is_a_failure_and_nothing_is_followed(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    async def elsewhere(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": f"http://127.0.0.1:{receiver.port}/other"})

    receiver.answer = elsewhere
    async with bench(tmp_path) as on:
        webhook = await on.webhook(receiver.url)
        await on.complete()
        delivery = await on.attempted(webhook)
        assert delivery.error == f"The answer had the status {status}."
        assert (delivery.status, delivery.status_code, delivery.attempts) == ("waiting", status, 1)
    assert len(receiver.received) == 1


async def test_a_receiver_that_is_gone_disables_its_webhook(tmp_path: Path, receiver: Receiver) -> None:
    async def gone(request: web.Request) -> web.StreamResponse:
        return web.Response(status=410)

    receiver.answer = gone
    async with bench(tmp_path) as on:
        webhook = await on.webhook(receiver.url)
        await on.complete()
        await on.attempted(webhook)
        async with asyncio.timeout(20):
            while (await on.store.webhook(webhook.id)).enabled:
                await asyncio.sleep(0.01)
        assert (await on.store.webhook(webhook.id)).disabled_reason == (
            "Its receiver has answered that it is gone (410)."
        )


async def test_a_slow_receiver_times_out_and_holds_up_no_other(tmp_path: Path, receiver: Receiver) -> None:
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    async with receiving() as slow, bench(tmp_path, max_in_flight=4, time_limit_s=TIME_LIMIT_S) as on:
        slow.answer = silent
        webhooks = [await on.webhook(slow.url) for _ in range(5)]
        await on.complete(count=20)
        await slow.count(8)
        await on.webhook(receiver.url)
        await on.complete(count=5)
        await receiver.count(5)
        delivery = await on.attempted(webhooks[0])
        assert delivery.error == f"There was no answer within {TIME_LIMIT_S:g} seconds."
        never.set()


async def test_of_an_answer_nothing_but_its_status_is_waited_for(tmp_path: Path, receiver: Receiver) -> None:
    """Neither 100 MB nor a body that never ends keep a delivery from being done, or are read to their end."""
    sent_bytes = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent_bytes
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        while sent_bytes < 100 * 2**20:
            await response.write(bytes(2**16))
            sent_bytes += 2**16
        return response

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.sleep(3600)
        return response

    async with bench(tmp_path) as on:
        webhook = await on.webhook(receiver.url)
        for number, answer in enumerate((endless, slow), 1):
            receiver.answer = answer
            await on.complete()
            done = await on.until(webhook, lambda found: sum(each.status == "delivered" for each in found) == number)  # noqa: B023
            assert {each.status_code for each in done} == {200}
        assert sent_bytes < 10 * 2**20


async def test_endless_headers_are_a_failure(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, bench(tmp_path, time_limit_s=5) as on:
        webhook = await on.webhook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await on.complete()
        delivery = await on.attempted(webhook)
        assert (delivery.error or "").startswith("There was no usable answer:")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "2130706433", "127.1", "0x7f.1"])
async def test_addresses_that_are_not_allowed_are_not_connected_to(
    tmp_path: Path, receiver: Receiver, host: str
) -> None:
    async with bench(tmp_path, networks=()) as on:
        webhook = await on.webhook(f"http://{host}:{receiver.port}/")
        await on.complete()
        assert (await on.attempted(webhook)).error is not None
    assert receiver.received == []


async def test_a_name_is_looked_up_once_and_what_was_checked_is_called(tmp_path: Path) -> None:
    """The name leads elsewhere the next time, as it would to whoever hopes to be connected to what was not checked."""
    asked: list[str] = []

    async def lookup(host: str, port: int) -> Found:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{len(asked) + 1}", port))]

    async with receiving("127.0.0.2") as receiver, bench(tmp_path, ("127.0.0.2",), lookup=lookup) as on:
        webhook = await on.webhook(f"http://receiver.example:{receiver.port}/hook")
        await on.complete()
        [received] = await receiver.count(1)
        assert received.headers["host"] == f"receiver.example:{receiver.port}"
        assert asked == ["receiver.example"]
        receiver.answer = hang_up
        await on.until(webhook, lambda found: found[0].status == "delivered")
        await on.complete()
        await receiver.count(2)
        await on.complete()
        failed = (await on.until(webhook, lambda found: len(found) == 3 and found[2].attempts > 0))[2]
        assert "its address is not globally routable" in (failed.error or "")
        assert asked == ["receiver.example"] * 2
    assert len(receiver.received) == 2


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def test_one_address_that_is_not_allowed_makes_a_name_unfit(tmp_path: Path, receiver: Receiver) -> None:
    async def lookup(host: str, port: int) -> Found:
        found = ("127.0.0.1", "10.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    async with bench(tmp_path, ("127.0.0.1",), lookup=lookup) as on:
        webhook = await on.webhook(f"http://receiver.example:{receiver.port}/")
        await on.complete()
        assert "not globally routable" in ((await on.attempted(webhook)).error or "")
    assert receiver.received == []


async def test_no_proxy_of_the_environment_is_used(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with bench(tmp_path) as on:
            await on.webhook(receiver.url)
            await on.complete()
            await receiver.count(1)
        assert proxy.received == []


async def test_what_was_under_way_when_it_was_stopped_comes_again_under_its_id(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskd.webhooks.deliverer._STOP_S", 0.05)
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    receiver.answer = silent
    async with bench(tmp_path) as on:
        webhook = await on.webhook(receiver.url)
        await on.complete()
        await receiver.count(1)
    never.set()
    async with bench(tmp_path) as on:
        await receiver.count(2)
        [delivery] = await on.until(webhook, lambda found: not found[0].is_waiting)
    assert {each.id for each in receiver.received} == {delivery.id}
    assert delivery.attempts == 1


async def test_a_webhook_whose_owner_may_not_be_told_is_disabled_and_nothing_is_sent(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with bench(tmp_path) as on:
        on.deliverer._objection = lambda webhook: "The user is gone."
        webhook = await on.webhook(receiver.url)
        await on.complete()
        async with asyncio.timeout(20):
            while (await on.store.webhook(webhook.id)).enabled:
                await asyncio.sleep(0.01)
        [delivery] = await on.deliveries(webhook)
        assert (delivery.is_waiting, delivery.attempts) == (True, 0)
    assert receiver.received == []


async def test_a_thousand_ends_are_told_once_each(tmp_path: Path, receiver: Receiver) -> None:
    async with bench(tmp_path) as on:
        await on.webhook(receiver.url)
        tasks = await on.complete(count=1_000)
        received = await receiver.count(1_000)
        assert sorted(each.json["data"]["id"] for each in received) == sorted(task.id for task in tasks)
