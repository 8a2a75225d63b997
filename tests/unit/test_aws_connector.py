"""Which addresses of a host are tried, and how often the host is looked up."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from taskd.runtime.aws.client.connection import Connection
from taskd.runtime.aws.client.connector import ConnectError, Connector, HostAddresses, tls_context
from taskd.runtime.aws.client.endpoint import parse_endpoint

HOST = parse_endpoint("http://lambda.test")


class FakeResolver:
    """Stands in for the system's resolver on the running loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.lookups = 0
        self.answering = asyncio.Event()
        self.answering.set()
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        if host != HOST.host:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        self.lookups += 1
        await self.answering.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]


async def test_connections_are_spread_over_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = FakeResolver(monkeypatch, "10.0.0.1", "10.0.0.2", "10.0.0.3")
    addresses = HostAddresses(HOST, lambda: 0.0)
    assert {(await addresses.rotated())[0] for _ in range(3)} == set(resolver.addresses)
    assert resolver.lookups == 1


async def test_an_address_that_failed_waits_for_the_next_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    FakeResolver(monkeypatch, "10.0.0.1", "10.0.0.2")
    addresses = HostAddresses(HOST, lambda: now_s)
    await addresses.rotated()
    addresses.discard("10.0.0.1")
    assert await addresses.rotated() == ["10.0.0.2"]
    now_s = 31.0
    assert sorted(await addresses.rotated()) == ["10.0.0.1", "10.0.0.2"]


async def test_all_who_wait_share_one_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = FakeResolver(monkeypatch, "10.0.0.1")
    resolver.answering.clear()
    addresses = HostAddresses(HOST, lambda: 0.0)
    waiting = [asyncio.create_task(addresses.rotated()) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    resolver.answering.set()
    assert await asyncio.gather(*waiting[1:]) == [["10.0.0.1"]] * 49
    assert resolver.lookups == 1


async def test_a_lookup_under_way_ends_with_the_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = FakeResolver(monkeypatch, "10.0.0.1")
    resolver.answering.clear()
    addresses = HostAddresses(HOST, lambda: 0.0)
    waiting = asyncio.create_task(addresses.rotated())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await addresses.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


class NoOwner:
    """Nobody listens to these connections."""

    def response_received(self, connection: Connection, response: object) -> None:
        raise AssertionError

    def connection_lost(self, connection: Connection, reason: str) -> None:
        pass


@pytest.fixture
def listening_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def connector(port: int) -> Connector:
    return Connector(
        parse_endpoint(f"http://lambda.test:{port}"),
        lambda: Connection(NoOwner(), frozenset(), 1024),
        tls=tls_context(None),
        timeout_s=5.0,
        now_s=lambda: 0.0,
    )


async def test_a_dead_address_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, listening_port: int) -> None:
    FakeResolver(monkeypatch, "127.0.0.2", "127.0.0.1", "127.0.0.3")
    for _ in range(3):
        connection = await connector(listening_port).connect()
        assert connection.is_usable
        connection.abort("")


async def test_the_failure_of_every_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeResolver(monkeypatch, "127.0.0.2", "127.0.0.3")
    with socket.socket() as taken:  # not listening
        taken.bind(("0.0.0.0", 0))
        with pytest.raises(ConnectError) as caught:
            await connector(taken.getsockname()[1]).connect()
    assert all(address in str(caught.value) for address in ("127.0.0.2", "127.0.0.3"))


async def test_probes_keep_a_long_call_alive(monkeypatch: pytest.MonkeyPatch, listening_port: int) -> None:
    FakeResolver(monkeypatch, "127.0.0.1")
    connection = await connector(listening_port).connect()
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    probes = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    assert [sock.getsockopt(socket.IPPROTO_TCP, option) for option in probes] == [30, 15, 4]
    connection.abort("")


async def test_a_host_without_addresses_is_a_failure_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeResolver(monkeypatch)
    with pytest.raises(ConnectError, match="has no address"):
        await connector(9001).connect()
