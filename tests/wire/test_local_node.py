"""Node.js functions in real sandboxes, under our own bootstrap."""

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.functions.local_runtime import LocalRuntimeHarness, failure_of, local_harness, messages, success_of
from support.functions.zips import node_zip, zip_of

from taskd.runtime.base import FunctionError, InvocationResult

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path, max_sandboxes=2) as harness:
        yield harness


async def deploy(harness: LocalRuntimeHarness, source: str, **fields: Any) -> None:
    await harness.deploy(node_zip(source), runtime="nodejs20.x", **fields)


async def test_an_async_handler_returns_its_result_and_its_lines(harness: LocalRuntimeHarness) -> None:
    await deploy(
        harness,
        """
        console.log('loading');
        exports.handler = async (event) => { console.log('got', event.n); console.error('two'); return event.n * 2; };
        """,
    )
    result = success_of(await harness.call({"n": 21}))
    assert result.payload == b"42"
    assert texts(result) == ["loading", "got 21", "two"]
    assert texts(await harness.call({"n": 1})) == ["got 1", "two"]


def texts(result: InvocationResult) -> list[str]:
    """What the handler had printed, without what the console puts in front."""
    return [message.split("\t", 3)[3] for message in messages(result)]


async def test_localhost_is_looked_for_where_the_daemon_listens_first(harness: LocalRuntimeHarness) -> None:
    await deploy(
        harness,
        """
        const { lookup } = require('node:dns/promises');
        exports.handler = async () => (await lookup('localhost', { all: true }))[0].address;
        """,
    )
    assert success_of(await harness.call()).payload == b'"127.0.0.1"'


async def test_what_the_console_prints_has_the_form_of_lambda(harness: LocalRuntimeHarness) -> None:
    await deploy(
        harness,
        """
        console.log('loading');
        exports.handler = async (event, context) => {
          console.log('a %s', 'b', { c: 1 }); console.info('i'); console.warn('w'); console.error('e');
          console.debug('d'); console.log('two\\nlines'); process.stdout.write('as it is\\n');
          return context.awsRequestId;
        };
        """,
    )
    result = success_of(await harness.call())
    call = result.payload.decode().strip('"')
    *lines, last = messages(result)
    assert last == "as it is"
    fields = [line.split("\t") for line in lines]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time, *_ in fields)
    assert [rest for _, *rest in fields] == [
        ["undefined", "INFO", "loading"],
        [call, "INFO", "a b { c: 1 }"],
        *([call, level, text] for level, text in (("INFO", "i"), ("WARN", "w"), ("ERROR", "e"), ("DEBUG", "d"))),
        [call, "INFO", "two\nlines"],
    ]


@pytest.mark.parametrize(
    "files",
    [
        {"index.mjs": "export const handler = async () => 'here';"},
        {"index.cjs": "module.exports = { handler: async () => 'here' };"},
        {"index.js": "export const handler = async () => 'here';", "package.json": '{"type": "module"}'},
        {"index.js": "export default { handler: async () => 'here' };", "package.json": '{"type": "module"}'},
        {
            "index.js": "exports.handler = require('./lib').handler;",
            "lib/index.js": "exports.handler = async () => 'here';",
        },
    ],
)
async def test_modules_of_every_kind_are_loaded(harness: LocalRuntimeHarness, files: dict[str, str]) -> None:
    await harness.deploy(zip_of(files), runtime="nodejs20.x")
    assert await harness.value() == "here"


@pytest.mark.parametrize("entry_point", ["src/tasks.run", "src/tasks.nested.deep.run"])
async def test_an_entry_point_may_name_folders_and_nested_exports(
    harness: LocalRuntimeHarness, entry_point: str
) -> None:
    source = "exports.run = async () => 1; exports.nested = { deep: { run: async () => 1 } };"
    await harness.deploy(zip_of({"src/tasks.js": source}), runtime="nodejs20.x", entry_point=entry_point)
    assert await harness.value() == 1


async def test_a_package_json_above_the_code_does_not_matter(harness: LocalRuntimeHarness) -> None:
    (harness.directory.parent / "package.json").write_text('{"type": "module"}')
    await deploy(harness, "exports.handler = async () => 'common';")
    assert await harness.value() == "common"


async def test_a_callback_answers_when_the_event_loop_is_empty(harness: LocalRuntimeHarness) -> None:
    await deploy(
        harness,
        """
        exports.handler = (event, context, callback) => {
            setTimeout(() => console.log('still printed'), 30);
            callback(null, { n: event.n });
        };
        """,
    )
    result = success_of(await harness.call({"n": 1}))
    assert result.payload == b'{"n":1}'
    assert texts(result) == ["still printed"]


async def test_a_callback_need_not_wait_for_the_event_loop(harness: LocalRuntimeHarness) -> None:
    await deploy(
        harness,
        """
        exports.handler = (event, context, callback) => {
            context.callbackWaitsForEmptyEventLoop = false;
            setInterval(() => {}, 1000);
            callback(null, 'at once');
        };
        """,
    )
    assert [await harness.value(), await harness.value()] == ["at once", "at once"]


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        ("callback(new RangeError('too far'))", "RangeError", "too far"),
        ("callback('just text')", "string", "just text"),
        ("context.fail(new Error('old style'))", "Error", "old style"),
        ("throw new TypeError('at once')", "TypeError", "at once"),
    ],
)
async def test_an_error_from_a_callback_handler_is_a_function_error(
    harness: LocalRuntimeHarness, body: str, name: str, message: str
) -> None:
    await deploy(harness, f"exports.handler = (event, context, callback) => {{ {body}; }};")
    result = await harness.call()
    assert isinstance(result, FunctionError)
    assert (result.name, result.message) == (name, message)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("context.succeed('old style')", "old style"),
        ("context.done(null, 'older')", "older"),
        ("callback()", None),
        ("", None),
    ],
)
async def test_other_ways_to_end_a_callback_handler(
    harness: LocalRuntimeHarness, body: str, expected: str | None
) -> None:
    await deploy(harness, f"exports.handler = (event, context, callback) => {{ {body} }};")
    assert await harness.value() == expected


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        ("throw new TypeError('boom')", "TypeError", "boom"),
        ("class NotFound extends Error { name = 'NotFound' }; throw new NotFound('x')", "NotFound", "x"),
        ("throw 'text'", "string", "text"),
        ("throw Object.create(null)", "object", "[object Object]"),
        ("const a = {}; a.a = a; return a", "Runtime.MarshalError", "circular"),
        ("return 1n", "Runtime.MarshalError", "BigInt"),
        ("await new Promise(() => {})", "Runtime.NodeJsExit", "never settled"),
        ("Promise.reject(new Error('lost')); await new Promise(() => {})", "Runtime.UnhandledPromiseRejection", "lost"),
        ("setTimeout(() => { throw new Error('late') }); await new Promise(() => {})", "Error", "late"),
        ("process.exit(7)", "Runtime.ExitError", "exit status 7"),
    ],
)
async def test_an_async_handler_that_goes_wrong_is_a_function_error_and_the_next_call_runs(
    harness: LocalRuntimeHarness, body: str, name: str, message: str
) -> None:
    await deploy(harness, f"exports.handler = async (event) => {{ if (!event.fail) return 'fine'; {body}; }};")
    result = await harness.call({"fail": True})
    assert isinstance(result, FunctionError)
    assert result.name == name
    assert message in result.message
    assert await harness.value({}) == "fine"


async def test_an_error_leaves_its_stack_in_the_log_as_one_line(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, "exports.handler = async () => { throw new TypeError('boom'); };")
    (line,) = messages(await harness.call())
    assert "\tERROR\tInvoke Error\t" in line
    assert "index.js:1" in line


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("require('nosuch')", "Runtime.ImportModuleError", "Cannot find module 'nosuch'"),
        ("exports.other = 1", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
        ("exports.handler = 1", "Runtime.HandlerNotFound", "index.handler is not a function"),
        ("exports.handler = (", "Runtime.UserCodeSyntaxError", "SyntaxError"),
        ("throw new RangeError('no config')", "RangeError", "no config"),
        ("setImmediate(() => process.exit(5)); exports.handler = () => {}", "Runtime.ExitError", "exit status 5"),
    ],
)
async def test_a_function_that_cannot_be_loaded_fails_each_call_in_lambdas_words(
    harness: LocalRuntimeHarness, source: str, name: str, message: str
) -> None:
    await deploy(harness, source)
    for _ in range(2):
        result = await harness.call()
        assert isinstance(result, FunctionError)
        assert result.name == name
        assert message in result.message


async def test_the_context_says_what_is_called_and_how_long_it_may_take(harness: LocalRuntimeHarness) -> None:
    await deploy(
        harness,
        """
        exports.handler = async (event, context) => ({
            name: context.functionName, memory: context.memoryLimitInMB, id: context.awsRequestId,
            arn: context.invokedFunctionArn, left: context.getRemainingTimeInMillis(), version: context.functionVersion,
        });
        """,
        time_limit_s=5,
        memory_limit_mb=192,
    )
    context = await harness.value()
    assert (context["name"], context["memory"], context["version"]) == ("probe", "192", "$LATEST")
    assert context["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:probe"
    assert len(context["id"]) == 36
    assert 0 < context["left"] <= 5000


async def test_garbage_is_collected_before_the_memory_limit_is_reached(harness: LocalRuntimeHarness) -> None:
    await deploy(
        harness,
        """
        exports.handler = async () => {
            const recent = new Array(60);
            for (let i = 0; i < 1500; i++) recent[i % 60] = Array.from({ length: 10000 }, (_, j) => ({ i, j }));
            return recent.length;
        };
        """,
        memory_limit_mb=176,
        time_limit_s=20,
    )
    assert await harness.value() == 60


async def test_an_event_of_the_largest_size_arrives_and_comes_back(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, "exports.handler = async (event) => event;")
    event = "x" * (6 * 1024 * 1024 - 2)
    assert await harness.value(event) == event


async def test_a_result_over_the_limit_is_refused_and_the_next_call_runs(harness: LocalRuntimeHarness) -> None:
    await deploy(harness, "exports.handler = async (event) => 'x'.repeat(event);")
    result = failure_of(await harness.call(7 * 1024 * 1024))
    assert result.name == "Function.ResponseSizeTooLarge"
    assert await harness.value(1) == "x"
