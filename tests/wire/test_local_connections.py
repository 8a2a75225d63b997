"""A function that opens connections to the Runtime API without end: the others do not notice."""

import json
from pathlib import Path

from support.functions.local_runtime import LocalRuntimeHarness, eventually, local_harness

from taskd.runtime.local.connection_registry import PER_SANDBOX_MAX, UNIDENTIFIED_MAX

SILENT = 2_000
CALLING = 100
KEEPS_CONNECTIONS = f"""
    import os, resource, socket
    connections = []
    host, _, rest = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    port, _, secret = rest.partition("/")

    def connect(line=b""):
        connection = socket.create_connection((host, int(port)), timeout=10)
        connection.sendall(line)
        connections.append(connection)
        return connection

    def handler(event, context):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for _ in range({SILENT}):
            connect()
        path = f"/{{secret}}/2018-06-01/runtime/invocation/none/response"
        sending = f"POST {{path}} HTTP/1.1\\r\\nHost: taskd\\r\\nContent-Length: 2\\r\\n\\r\\n{{{{}}}}".encode()
        return [connect(sending).recv(4096).split()[1].decode() for _ in range({CALLING})]
    """


async def keep_connections(harness: LocalRuntimeHarness) -> list[str]:
    """The statuses of the requests that the function has made on connections of their own, which it all keeps."""
    await harness.deploy_python(KEEPS_CONNECTIONS, name="keeper", time_limit_s=30)
    statuses: list[str] = await harness.value(None, "keeper")
    return statuses


async def test_a_function_that_keeps_connections_is_refused_more_and_the_others_run(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", max_sandboxes=2) as harness:
        await harness.deploy_python("def handler(event, context): return event", name="quick")
        assert await harness.value(1, "quick") == 1
        statuses = await keep_connections(harness)
        assert statuses == ["400"] * PER_SANDBOX_MAX + ["429"] * (CALLING - PER_SANDBOX_MAX)
        connections = harness.runtime._api._connections
        assert len(connections) <= UNIDENTIFIED_MAX + 2 * PER_SANDBOX_MAX
        assert await harness.value(2, "quick") == 2
        await harness.deploy_python("def handler(event, context): return [event]", name="fresh")
        assert await harness.value(3, "fresh") == [3]
        await eventually(lambda: len(connections) <= 2)


async def test_refused_connections_are_told_why(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions") as harness:
        source = KEEPS_CONNECTIONS.replace(".split()[1].decode()", ".decode().rpartition(chr(10))[2]")
        await harness.deploy_python(source, name="keeper")
        answers = await harness.value(None, "keeper")
        assert json.loads(answers[-1])["errorType"] == "TooManyConnections"
