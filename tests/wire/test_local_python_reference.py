"""Python functions behave on taskd's channel as on AWS's own client: what is returned, raised, printed and seen."""

import re
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.functions import reference_bootstrap
from support.functions.local_runtime import LocalRuntimeHarness, local_harness, messages
from support.functions.zips import zip_of

from taskd.runtime.base import FunctionError, InvocationError, InvocationResult, Success

pytestmark = pytest.mark.slow


LAUNCH = f"#!/bin/sh\nexec {sys.executable} -P reference_bootstrap.py\n"
REFERENCE = Path(reference_bootstrap.__file__).read_text()
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
ASCII_ONLY, WITH_UNICODE = "python3.11", "python3.12"
"""Up to the first, AWS's runtimes escape in results whatever is not ASCII."""


class Observed(NamedTuple):
    """What came of a call, without what differs from call to call."""

    outcome: tuple[Any, ...]
    lines: list[str]


def observed(result: InvocationResult, code: str) -> Observed:
    match result:
        case Success(payload):
            outcome: tuple[Any, ...] = (payload,)
        case FunctionError(name, message) | InvocationError(name, message):
            outcome = (type(result), name, anonymous(message, code))
        case _:
            raise AssertionError(result)
    lines = [anonymous(line, code) for line in messages(result)]
    if "Runtime.ExitError" in outcome:  # the stack, if the interpreter printed one, begins in the program itself
        lines = [line for line in lines if not line.startswith("  ")]
    return Observed(outcome, lines)


def anonymous(text: str, code: str) -> str:
    return MOMENT.sub("(moment)", ID.sub("(id)", text.replace(code, "(code)")))


class Case(NamedTuple):
    """A function, and the events that it is called with, one after the other."""

    source: str
    events: tuple[Any, ...] = (None, None)
    entry_point: str = "index.handler"
    environment: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    runtime: str = WITH_UNICODE


def returning(expression: str, **more: Any) -> Case:
    return Case(f"import decimal\ndef handler(event, context): return {expression}", **more)


def doing(statements: str, **more: Any) -> Case:
    body = textwrap.indent(textwrap.dedent(statements), "    ")
    return Case(f"import json, logging, os, sys, warnings\ndef handler(event, context):\n{body}\n", **more)


RESULTS = {
    "nothing": returning("None"),
    "the event": returning("event", events=({"a": [1, 2.5, None, True, "é€😀", ""]}, [], "x", 0, None, 1e400)),
    "unicode": returning("'é€😀'"),
    "unicode, older": returning("'é€😀'", runtime=ASCII_ONLY),
    "a surrogate": returning(r"'\ud800'", runtime=ASCII_ONLY),
    "a surrogate as it is": returning(r"'\ud800'", events=(None,)),
    "bytes": returning("b'plain \\xff'"),
    "a tuple": returning("(1, 2)"),
    "a set": returning("{1}"),
    "a generator": returning("(n for n in range(3))"),
    "a decimal": returning("decimal.Decimal('1.10')"),
    "decimals": returning("[decimal.Decimal('NaN'), decimal.Decimal('1e5')]"),
    "numbers that are none": returning("[float('nan'), float('inf')]"),
    "keys": returning("{1: 'a', None: 'b', 1.5: 'c'}"),
    "keys that cannot be": returning("{(1, 2): 'a'}"),
    "a circle": doing("a = []; a.append(a); return a"),
    "an object": returning("object()"),
    "an integer of many digits": returning("10 ** 50"),
    "a large result": returning("'x' * 5_000_000", events=(None, None)),
    "a large event": returning("len(event)", events=("x" * 5_000_000, "é" * 1_000_000, "x")),
    "events around what is read at once": returning("len(event)", events=tuple("x" * (65_300 + n) for n in range(260))),
    "a result too large": returning("'x' * 7_000_000", events=(None,)),
}
ERRORS = {
    "an exception": doing("raise KeyError('patient')"),
    "an exception of a call": doing("json.loads('{')"),
    "a chain": doing("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('above') from error"),
    "an exception without text": doing("raise RuntimeError"),
    "an exception of many lines": doing("raise RuntimeError('a\\n  b\\r\\n\\tc')"),
    "an exception in unicode": doing("raise RuntimeError('é€😀')"),
    "an exception in unicode, older": doing("raise RuntimeError('é€😀')", runtime=ASCII_ONLY),
    "an exception with a NUL": doing("raise RuntimeError('a\\0b')"),
    "a long exception": doing("raise RuntimeError('x' * 2_000_000)"),
    "a class of its own": doing("class Lost(Exception):\n    def __str__(self): return 'gone'\nraise Lost(1)"),
    "deep recursion": doing("def down(): return down()\ndown()"),
    "an exit": doing("sys.exit(3)"),
    "an exit without status": doing("sys.exit()"),
    "an exit with a text": doing("sys.exit('over')"),
    "the end of the process": doing("os._exit(7)"),
    "an interrupt": doing("raise KeyboardInterrupt"),
    "a killed process": doing("os.kill(os.getpid(), 9)"),
}
STARTS = {
    "a module that is missing": Case("import nosuch"),
    "a handler that is missing": Case("x = 1"),
    "a handler that is none": Case("handler = 1"),
    "a mistake of syntax": Case("def"),
    "an exception at the start": Case("1 / 0"),
    "an exit at the start": Case("import sys; print('so long'); sys.exit(3)"),
    "an end at the start": Case("import os; os._exit(4)"),
    "a module of the interpreter": Case("", entry_point="sys.handler"),
    "output at the start": Case("print('loading')\ndef handler(event, context): print('called')"),
}
OUTPUT = {
    "print": doing("print('a'); print('b', file=sys.stderr); print('c', end='')"),
    "raw": doing("os.write(1, b'raw \\xff\\n'); os.write(2, b'raw \\xfe')"),
    "a child": doing("os.system('echo from a child')"),
    "logging": doing("logging.getLogger().warning('careful %s', event)\nlogging.info('unseen')"),
    "logging of a level": doing(
        "logging.getLogger().setLevel('DEBUG'); logging.debug('seen'); logging.getLogger('named').error('é')"
    ),
    "logging an exception": doing("try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.exception('caught')"),
    "logging as JSON": doing(
        "logging.getLogger('named').error('told', extra={'patient': 1})\nraise ValueError('as JSON')",
        environment={"AWS_LAMBDA_LOG_FORMAT": "JSON"},
    ),
    "logging as JSON from a level on": doing(
        "logging.info('unseen'); logging.warning('seen')",
        environment={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"},
    ),
    "logging as text from a level on": doing("logging.debug('seen')", environment={"AWS_LAMBDA_LOG_LEVEL": "DEBUG"}),
    "a warning": doing("warnings.warn('old')"),
    "the log of the context": doing("context.log('by the context')"),
}
CONTEXT = {
    "fields": returning(
        "{name: repr(getattr(context, name, None)) for name in sorted(vars(context))"
        " if name not in ('aws_request_id', '_epoch_deadline_time_in_ms')}"
    ),
    "methods": returning("sorted(name for name in dir(context) if not name.startswith('__'))"),
    "identity": returning("[context.client_context, context.identity.cognito_identity_id, repr(context.identity)]"),
    "deadline": returning(
        "[type(context._epoch_deadline_time_in_ms).__name__, 0 < context.get_remaining_time_in_millis() <= 10_000]"
    ),
    "id": returning("[len(context.aws_request_id), type(context.aws_request_id).__name__]"),
    "environment": doing(
        """
        hidden = {"AWS_LAMBDA_RUNTIME_API", "HOME", "TMPDIR", "LAMBDA_TASK_ROOT", "PWD", "OLDPWD", "_", "SHLVL"}
        return {name: value for name, value in sorted(os.environ.items()) if name not in hidden}
        """
    ),
    "what a program that it starts inherits": doing(
        """
        import subprocess
        listing = "import os; print([fd for fd in range(3, 64) if os.path.exists(f'/proc/self/fd/{fd}')][:-1])"
        return subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True).stdout
        """
    ),
    "a process that it forks": doing(
        """
        child = os.fork()
        if child == 0:
            print("in the child")
            os._exit(0)
        return os.waitpid(child, 0)[1]
        """
    ),
    "state that is kept": Case("calls = []\ndef handler(e, c): calls.append(e); return calls", events=(1, 2, 3)),
    "threads": doing("import threading\nreturn threading.active_count()"),
}
CASES = {**RESULTS, **ERRORS, **STARTS, **OUTPUT, **CONTEXT}


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path / "functions", max_sandboxes=1) as harness:
        yield harness


async def observe(
    harness: LocalRuntimeHarness, case: Case, runtime: str, environment: dict[str, str]
) -> list[Observed]:
    """Deploys the function, calls it, and gives what came of each call."""
    files = {"index.py": case.source, "sys.py": "", "reference_bootstrap.py": REFERENCE, "bootstrap": LAUNCH}
    deployed = await harness.deploy(
        zip_of(files, mode=0o755),
        runtime=runtime,
        entry_point=case.entry_point,
        environment={**case.environment, **environment},
    )
    code = str(harness.directory / "probe" / deployed.code_version)
    return [observed(await harness.call(event), code) for event in case.events]


@pytest.mark.parametrize("name", CASES)
async def test_a_function_cannot_tell_the_channel_from_awss_own_client(harness: LocalRuntimeHarness, name: str) -> None:
    case = CASES[name]
    reference_environment = {"REFERENCE_EXECUTION_ENV": f"AWS_Lambda_{case.runtime}"}
    expected = await observe(harness, case, "provided.al2", reference_environment)
    assert await observe(harness, case, case.runtime, {}) == expected


async def test_the_reference_is_another_program(harness: LocalRuntimeHarness) -> None:
    case = doing("import runtime_client\nreturn type(runtime_client).__name__", events=(None,))
    (expected,) = await observe(harness, case, "provided.al2", {"REFERENCE_EXECUTION_ENV": "x"})
    (ours,) = await observe(harness, case, case.runtime, {})
    assert (expected.outcome, ours.outcome) == ((b'"module"',), (b'"Channel"',))
