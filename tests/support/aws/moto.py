"""AWS's control plane and CloudWatch Logs as moto imitates them: a server process, spoken to over HTTP."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from threading import Thread
from typing import Any

from aiobotocore.session import AioSession

REGION = "eu-west-1"
_EVENTS_PER_CALL = 8
_ROLE_NAME = "functions"
_TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


class Moto:
    """A running server."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def client(self, service: str) -> AsyncIterator[Any]:
        """A client of a service, with all rights."""
        keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": "not a secret"}
        async with AioSession().create_client(service, REGION, endpoint_url=self.url, **keys) as client:
            yield client

    async def role(self) -> str:
        """The ARN of a role that Lambda may assume."""
        async with self.client("iam") as iam:
            try:
                trust = json.dumps({"Version": "2012-10-17", "Statement": [_TRUST]})
                answer = await iam.create_role(RoleName=_ROLE_NAME, AssumeRolePolicyDocument=trust)
            except iam.exceptions.EntityAlreadyExistsException:
                answer = await iam.get_role(RoleName=_ROLE_NAME)
        return str(answer["Role"]["Arn"])

    async def function(self, name: str) -> dict[str, Any] | None:
        """What AWS would say about a function; ``None`` if there is none."""
        async with self.client("lambda") as client:
            try:
                found: dict[str, Any] = await client.get_function(FunctionName=name)
            except client.exceptions.ResourceNotFoundException:
                return None
        return found

    async def put_log(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Appends ``(time in epoch milliseconds, message)`` to a stream, which is made if it is new."""
        async with self.client("logs") as logs:
            for make, names in (
                (logs.create_log_group, {"logGroupName": group}),
                (logs.create_log_stream, {"logGroupName": group, "logStreamName": stream}),
            ):
                with suppress(logs.exceptions.ResourceAlreadyExistsException):
                    await make(**names)
            for begin in range(0, len(events), _EVENTS_PER_CALL):
                entries = [{"timestamp": at, "message": text} for at, text in events[begin : begin + _EVENTS_PER_CALL]]
                await logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=entries)


@contextmanager
def running_moto() -> Iterator[Moto]:
    """A fresh server on a free port."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = next(filter(None, (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)))
            reading = Thread(target=process.stderr.read)  # it logs every request, and would stop at a full pipe
            reading.start()
            yield Moto(found[0])
        finally:
            process.kill()
        reading.join()
