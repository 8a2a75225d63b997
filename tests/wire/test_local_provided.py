"""Functions that bring their own bootstrap and speak the Runtime API themselves."""

import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.functions.local_runtime import LocalRuntimeHarness, failure_of, local_harness, messages, success_of
from support.functions.zips import zip_of

from taskd.runtime.base import FunctionError

SHELL = """\
    #!/bin/sh
    api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
    while event=$(curl -sSf -D "$TMPDIR/headers" "$api/invocation/next"); do
        id=$(sed -n 's/^lambda-runtime-aws-request-id: \\([0-9a-f-]*\\).*/\\1/ip' "$TMPDIR/headers")
        echo "shell got $event"
        curl -sS -o /dev/null -d "{\\"echo\\":$event}" "$api/invocation/$id/response"
    done
    """
PYTHON = f"""\
    #!{sys.executable}
    import json, os, urllib.request
    API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
    def post(path, body, **headers):
        return urllib.request.urlopen(urllib.request.Request(API + path, data=body, headers=headers))
    while True:
        with urllib.request.urlopen(API + "invocation/next") as answer:
            request_id, event = answer.headers["Lambda-Runtime-Aws-Request-Id"], json.load(answer)
        exec(event)
    """


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path, max_sandboxes=2) as harness:
        yield harness


async def deploy(harness: LocalRuntimeHarness, bootstrap: str) -> None:
    await harness.deploy(zip_of({"bootstrap": bootstrap}, mode=0o755), runtime="provided.al2023")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_a_shell_script_serves_calls(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, SHELL)
    for n in range(3):
        result = success_of(await harness.call({"n": n}))
        assert json.loads(result.payload) == {"echo": {"n": n}}
        assert messages(result) == [f'shell got {{"n": {n}}}']


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        (
            "post(f'invocation/{request_id}/error', json.dumps({'errorType': 'Mine', 'errorMessage': 'no'}).encode())",
            "Mine",
            "no",
        ),
        (
            "post(f'invocation/{request_id}/error', b'', **{'Lambda-Runtime-Function-Error-Type': 'Named'})",
            "Named",
            "",
        ),
        ("post(f'invocation/{request_id}/error', b'free text')", "Runtime.Unknown", "free text"),
        ("post(f'invocation/{request_id}/error', b'[1, 2]')", "Runtime.Unknown", "[1,2]"),
        (
            'post(f\'invocation/{request_id}/error\', b\'{"errorType": 7, "errorMessage": {"a": null}}\')',
            "7",
            '{"a":null}',
        ),
    ],
)
async def test_errors_of_every_form_become_function_errors(
    harness: LocalRuntimeHarness, code: str, name: str, message: str
) -> None:
    await deploy(harness, PYTHON)
    result = await harness.call(code)
    assert isinstance(result, FunctionError)
    assert (result.name, result.message) == (name, message)


@pytest.mark.parametrize(("body", "payload"), [("b''", b"null"), ("b'hello'", b'"hello"'), ("b' [1] '", b" [1] ")])
async def test_a_response_that_is_not_json_becomes_a_json_string(
    harness: LocalRuntimeHarness, body: str, payload: bytes
) -> None:
    await deploy(harness, PYTHON)
    result = success_of(await harness.call(f"post(f'invocation/{{request_id}}/response', {body})"))
    assert result.payload == payload


async def test_a_response_of_unknown_length_over_the_limit_is_refused(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, PYTHON)
    chunks = "(b'x' * 65536 for _ in range(200))"
    result = failure_of(await harness.call(f"post(f'invocation/{{request_id}}/response', {chunks})"))
    assert result.name == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize(
    ("bootstrap", "reason"),
    [("#!/no/such/interpreter\n", "no such file or directory"), ("\x7fELF nonsense", "exec format error")],
)
async def test_a_bootstrap_that_cannot_be_started_fails_its_call(
    harness: LocalRuntimeHarness, bootstrap: str, reason: str
) -> None:
    await deploy(harness, bootstrap)
    result = await harness.call()
    assert isinstance(result, FunctionError)
    assert result.name == "Runtime.InvalidEntrypoint"
    assert reason in result.message


async def test_a_bootstrap_that_ends_without_asking_for_a_call_fails_it(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, "#!/bin/sh\necho bye\n")
    result = failure_of(await harness.call())
    assert result.name == "Runtime.ExitError"
    assert result.message.endswith("Error: Runtime exited without providing a reason")
    assert messages(result) == ["bye"]
