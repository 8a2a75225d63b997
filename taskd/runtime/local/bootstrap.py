"""Runs a Python handler: AWS's ``awslambdaric``, with a channel to the daemon in the place of its HTTP client.

The program of a sandbox. Imports nothing of taskd, whose modules the function must not see. The format of the channel
is told in ``channel.py`` beside this file.
"""

import os
import struct
import sys
from typing import Any

_FD = 10
_READY, _RESULT, _ERROR = 1, 2, 3
_HEAD = struct.Struct(">BI36s")
_CALL = struct.Struct(">IHQ36s")
_READ_BYTES = 64 * 1024


class Channel:
    """What ``awslambdaric`` asks of ``runtime_client``, its extension module around curl, which is not loaded."""

    def __init__(self) -> None:
        os.set_inheritable(_FD, False)  # noqa: FBT003 - the name of the function says it
        self._has_asked = False

    def initialize_client(self, user_agent: str) -> None:
        """There is nobody to tell the program's name."""

    def next(self) -> tuple[bytes, dict[str, Any]]:
        """The next event, and the headers that go with it, when there is one."""
        if not self._has_asked:
            self._send(_READY, "", b"")
        message = self._receive(b"", _CALL.size)
        size, arn_size, deadline_ms, request_id = _CALL.unpack_from(message)
        event_at = _CALL.size + arn_size
        if len(message) < event_at + size:
            message = self._receive(message, event_at + size)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id.decode(),
            "Lambda-Runtime-Deadline-Ms": deadline_ms,
            "Lambda-Runtime-Invoked-Function-Arn": message[_CALL.size : event_at].decode(),
            "Content-Type": "application/json",
        }
        return message[event_at:], headers

    def post_invocation_result(self, request_id: str, result: bytes, *_: object) -> None:
        """What the handler returned, which also asks for the next call."""
        self._send(_RESULT, request_id, result)

    def post_error(self, request_id: str, error: str, *_: object) -> None:
        """What the handler raised, which also asks for the next call."""
        self._send(_ERROR, request_id, error.encode())

    def _send(self, kind: int, request_id: str, body: bytes) -> None:
        self._has_asked = True
        message = _HEAD.pack(kind, len(body), request_id.encode()) + body
        while sent := os.write(_FD, message):
            message = message[sent:]

    def _receive(self, message: bytes, size: int) -> bytes:
        """``message`` with what follows, to at least ``size`` bytes; nothing comes behind the end of a message."""
        received = bytearray(message)
        while len(received) < size:
            chunk = os.read(_FD, max(_READ_BYTES, size - len(received)))
            if not chunk:
                raise RuntimeError("Failed to get next: the channel is closed")
            received += chunk
        return bytes(received)


def main() -> None:
    """Serves calls until the channel is closed."""
    sys.modules["runtime_client"] = Channel()  # type: ignore[assignment]
    from awslambdaric import bootstrap  # noqa: PLC0415 - it looks for the module that has just been put there
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient  # noqa: PLC0415

    # only now, so that no module of the function takes the place of one that awslambdaric needs
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    # an error is printed as lines, not as one line with carriage returns in it
    bootstrap.ERROR_LOG_LINE_TERMINATE = "\n"
    bootstrap.ERROR_LOG_IDENT = " "
    bootstrap.run(os.environ["_HANDLER"], client(LambdaRuntimeClient, os.environ["AWS_LAMBDA_RUNTIME_API"]))


def client(kind: Any, address: str) -> Any:
    """A client for ``host:port/path``; by itself it takes only ``host:port`` where it reports a failed start."""
    authority, _, path = address.partition("/")
    runtime_client = kind(authority)
    call_rapid = runtime_client.call_rapid
    runtime_client.call_rapid = lambda method, endpoint, *rest: call_rapid(method, f"/{path}{endpoint}", *rest)
    return runtime_client


if __name__ == "__main__":
    main()
