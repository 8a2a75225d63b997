"""What systemd hears: over a real datagram socket, as systemd would listen on."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskd.system import systemd


def listen_on(address: str | bytes) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(address)
    receiver.settimeout(5)
    return receiver


@pytest.fixture
def notify_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    with listen_on(str(path)) as receiver:
        yield receiver


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (systemd.ready, b"READY=1"),
        (systemd.stopping, b"STOPPING=1"),
        (systemd.watchdog, b"WATCHDOG=1"),
        (lambda: systemd.status("3 running"), b"STATUS=3 running"),
    ],
)
def test_a_notification_arrives_as_one_datagram(
    notify_socket: socket.socket, call: Callable[[], bool], message: bytes
) -> None:
    assert call()
    assert notify_socket.recv(4096) == message


def test_a_reload_carries_the_monotonic_time(notify_socket: socket.socket) -> None:
    before_us = time.monotonic_ns() // 1000
    assert systemd.reloading()
    first, second = notify_socket.recv(4096).decode().split("\n")
    name, value = second.split("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before_us <= int(value) <= time.monotonic_ns() // 1000


def test_a_status_cannot_smuggle_in_another_field(notify_socket: socket.socket) -> None:
    assert systemd.status("fine\nREADY=1\r\nMAINPID=1")
    assert notify_socket.recv(4096) == b"STATUS=fine READY=1 MAINPID=1"


def test_a_status_that_is_no_valid_unicode_is_sent_all_the_same(notify_socket: socket.socket) -> None:
    assert systemd.status("odd \udcff name")
    assert notify_socket.recv(4096) == b"STATUS=odd ? name"


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"taskd-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with listen_on(b"\0" + name.encode()) as receiver:
        assert systemd.ready()
        assert receiver.recv(4096) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative/path", "vsock:2:1234", "/nowhere/notify", "/" + "x" * 500])
def test_a_socket_that_cannot_be_reached_is_no_error(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not systemd.ready()


def test_nothing_happens_where_systemd_did_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.ready()


def test_a_queue_that_nobody_empties_does_not_hold_the_daemon_up(
    notify_socket: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_SEND_TIMEOUT_S", 0.01)
    assert not all(systemd.watchdog() for _ in range(100_000))


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        ("30000000", None, 15.0),
        ("30000000", "self", 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("-5", None, None),
        ("soon", None, None),
        ("30000000", "me", None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, interval_s: float | None
) -> None:
    own_pid = str(os.getpid())
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", own_pid if pid == "self" else pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval_s() == interval_s
