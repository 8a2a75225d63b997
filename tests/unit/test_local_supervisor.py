"""The supervisor by itself: it answers, whatever it is told to start and whatever goes wrong."""

import json
import os
import socket
import sys
from typing import Any

import pytest

from taskd.runtime.local import supervisor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes take Linux")
GIVEN_UP_S = 30.0
ORDER: dict[str, Any] = {"command": [sys.executable, "-c", "exit(7)"], "environment": {}, "code": "/", "rules": None}


def answers(order: bytes) -> bytes:
    """All that a supervisor says of an order."""
    ours, theirs = socket.socketpair()
    output = os.open(os.devnull, os.O_WRONLY)
    child = os.fork()
    if child == 0:
        ours.close()
        supervisor.main(theirs.detach(), output)
    theirs.close()
    os.close(output)
    with ours:
        ours.settimeout(GIVEN_UP_S)
        ours.sendall(order)
        said = b"".join(iter(lambda: ours.recv(4096), b""))
    os.waitpid(child, 0)
    return said


def test_it_tells_that_a_program_has_started_and_how_it_ended() -> None:
    starting, started, ended = answers(json.dumps(ORDER).encode() + b"\n").splitlines()
    assert (starting, ended) == (b"starting 0", b"ended 7")
    assert started.startswith(b"started ")


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        (b"no JSON\n", b"failed 5\n"),
        (b"\xff\n", b"failed 5\n"),
        (b"{}\n", b"starting 0\nfailed 5\n"),
        (json.dumps({**ORDER, "command": ["/nowhere"]}).encode() + b"\n", b"starting 0\nfailed 2\n"),
        (json.dumps({**ORDER, "command": ["/bin/true\0"]}).encode() + b"\n", b"starting 0\nfailed 5\n"),
        (json.dumps({**ORDER, "code": "/nowhere"}).encode() + b"\n", b"starting 0\nfailed 2\n"),
        (json.dumps({**ORDER, "rules": {"tree": None}}).encode() + b"\n", b"starting 0\nfailed 5\n"),
    ],
)
def test_it_answers_an_order_that_cannot_be_carried_out(order: bytes, answer: bytes) -> None:
    assert answers(order) == answer
