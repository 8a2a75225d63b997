"""Bodies of functions to be created: what is taken, and how what is not is named."""

import base64
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.api.validation.function_body import decode_code, decode_function, new_function
from taskd.api.validation.start_rules_body import ConcurrencyBody, ThrottleBody, start_rules
from taskd.model import errors
from taskd.model.errors import ContractError, ErrorKind
from taskd.model.function import RETIRED_RUNTIMES, RUNTIMES, Function, PermissionMode, RetryPolicy
from taskd.model.start_rules import Concurrency, StartRules, Throttle

NOW_MS = 1_700_000_000_000

LEAST = {"name": "hello", "code": "UEs=", "entryPoint": "index.handler", "runtime": "python3.12"}


def define(**fields: Any) -> Function:
    return new_function(decode_function(orjson.dumps({**LEAST, **fields})), NOW_MS)


def outcome(body: bytes) -> Function | ContractError:
    """What becomes of ``body``; any other exception is a failure of the test."""
    try:
        return new_function(decode_function(body), NOW_MS)
    except ContractError as error:
        return error


def assert_refused(kind: ErrorKind, *words: str, **fields: Any) -> None:
    error = outcome(orjson.dumps({**LEAST, **fields}))
    assert isinstance(error, ContractError)
    assert error.kind == kind
    for word in words:
        assert word in error.message


def test_the_least_body_gets_the_defaults() -> None:
    assert define() == Function(
        name="hello", entry_point="index.handler", runtime="python3.12", update_ms=NOW_MS, code_version=""
    )


def test_every_field_arrives() -> None:
    function = define(
        description="Says hello",
        timeLimit=3,
        memoryLimit=10240.0,
        environmentVariables={"GREETING": {"value": "hi"}, "EMPTY": {"value": ""}},
        executionOptions={"permissionMode": "public", "defaultPriority": -4},
        retryPolicy={"enabled": True, "errorsToRetry": ["TimeoutError"]},
        enabled=False,
    )
    assert function == Function(
        name="hello",
        entry_point="index.handler",
        runtime="python3.12",
        update_ms=NOW_MS,
        code_version="",
        description="Says hello",
        enabled=False,
        time_limit_s=3,
        memory_limit_mb=10240,
        environment={"GREETING": "hi", "EMPTY": ""},
        permission_mode=PermissionMode.PUBLIC,
        default_priority=-4,
        retry_policy=RetryPolicy(enabled=True, errors_to_retry=("TimeoutError",)),
    )


def test_null_stands_for_absent() -> None:
    optional = (
        "description",
        "timeLimit",
        "memoryLimit",
        "environmentVariables",
        "executionOptions",
        "retryPolicy",
        "enabled",
    )
    assert define(**dict.fromkeys(optional)) == define()
    assert define(executionOptions={"permissionMode": None}, retryPolicy={"enabled": None}) == define()


@pytest.mark.parametrize("absent", LEAST)
def test_missing_fields_are_named(absent: str) -> None:
    assert_refused(errors.MISSING_FIELDS, absent, **{absent: None})


def test_all_missing_fields_are_named_at_once() -> None:
    with pytest.raises(ContractError) as caught:
        decode_function(b"{}")
    assert all(name in caught.value.message for name in LEAST)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_of_the_list_is_taken(runtime: str) -> None:
    assert define(runtime=runtime).runtime == runtime


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("name", 1, "string"),
        ("code", 1, "base64"),
        ("entryPoint", "", "white space"),
        ("entryPoint", "a b", "white space"),
        ("entryPoint", "a\0b", "white space"),
        ("entryPoint", "a" * 129, "128"),
        ("entryPoint", [], "string"),
        ("runtime", "cobol", "provided.al2023"),
        ("runtime", "", "python3.12"),
        ("runtime", {}, "string"),
        ("description", 1, "string"),
        ("description", "x" * 257, "256"),
        ("timeLimit", 2, "3 to 300"),
        ("timeLimit", 301, "3 to 300"),
        ("timeLimit", 30.5, "whole number"),
        ("timeLimit", "30", "whole number"),
        ("memoryLimit", 127, "128 to 10240"),
        ("memoryLimit", 10241, "128 to 10240"),
        ("memoryLimit", True, "whole number"),
        ("environmentVariables", [], "value"),
        ("environmentVariables", {"AB": "x"}, "value"),
        ("environmentVariables", {"AB": {}}, "value"),
        ("environmentVariables", {"AB": {"value": 1}}, "value"),
        ("environmentVariables", {"A": {"value": "one letter"}}, "start with a letter"),
        ("environmentVariables", {"_HANDLER": {"value": "x"}}, "start with a letter"),
        ("environmentVariables", {"A=B": {"value": "x"}}, "'A=B'"),
        ("environmentVariables", {"": {"value": "x"}}, "start with a letter"),
        ("environmentVariables", {"NUL": {"value": "a\0b"}}, "NUL"),
        ("executionOptions", [], "permissionMode"),
        ("executionOptions", {"permissionMode": "nobody"}, "permissionRequired, allUsers, public"),
        ("executionOptions", {"defaultPriority": 1.5}, "defaultPriority"),
        ("executionOptions", {"defaultPriority": 2**53}, "9007199254740991"),
        ("executionOptions", {"concurrency": 5}, '"total": 10'),
        ("executionOptions", {"concurrency": {"total": "5"}}, "concurrency.total"),
        ("executionOptions", {"throttle": {"limit": 1, "periodSeconds": "1"}}, "throttle.periodSeconds"),
        ("executionOptions.concurrency", {"perKey": 1}, "perKey and key"),
        ("executionOptions.concurrency", {"total": 1, "key": "data.a"}, "perKey and key"),
        ("executionOptions.concurrency.total", {"total": 0}, "1 to 65536"),
        ("executionOptions.concurrency.total", {"total": 1.5}, "1 to 65536"),
        ("executionOptions.concurrency.perKey", {"perKey": 65_537, "key": "data.a"}, "1 to 65536"),
        ("executionOptions.concurrency.key", {"perKey": 1, "key": "patientId"}, "data.patientId"),
        ("executionOptions.throttle", {"limit": 1}, "periodSeconds"),
        ("executionOptions.throttle", {"periodSeconds": 1}, "limit"),
        ("executionOptions.throttle", {"burst": 2}, "limit"),
        ("executionOptions.throttle.limit", {"limit": 0, "periodSeconds": 1}, "1 to 1000000"),
        ("executionOptions.throttle.periodSeconds", {"limit": 1, "periodSeconds": 0}, "0.001 to 2,678,400"),
        ("executionOptions.throttle.burst", {"limit": 1, "periodSeconds": 1, "burst": 0}, "1 to 1000000"),
        ("executionOptions.throttle.key", {"limit": 1, "periodSeconds": 1, "key": "data."}, "data.patientId"),
        ("executionOptions.throttle.key", {"limit": 1, "periodSeconds": 1, "key": "data." + "x" * 252}, "256"),
        ("retryPolicy", True, "errorsToRetry"),
        ("retryPolicy", {"enabled": "yes"}, "enabled"),
        ("retryPolicy", {"errorsToRetry": "Error"}, "errorsToRetry"),
        ("retryPolicy", {"errorsToRetry": ["x" * 257]}, "256"),
        ("retryPolicy", {"errorsToRetry": ["x"] * 101}, "100"),
        ("retryPolicy", {"delays": []}, "1 to 20"),
        ("retryPolicy", {"delays": [1] * 21}, "1 to 20"),
        ("retryPolicy", {"delays": [-1]}, "numbers of seconds"),
        ("retryPolicy", {"delays": [604_801]}, "604800"),
        ("retryPolicy", {"delays": ["1"]}, "numbers of seconds"),
        ("retryPolicy", {"delays": 5}, "numbers of seconds"),
        ("retryPolicy", {"jitter": 1.01}, "from 0 to 1"),
        ("retryPolicy", {"jitter": -0.1}, "from 0 to 1"),
        ("enabled", "true", "true or false"),
    ],
)
def test_a_field_that_breaks_its_rule_is_named_with_the_rule(field: str, value: Any, word: str) -> None:
    outer, *parts = field.split(".")
    assert_refused(errors.FIELD_FORMAT, field, word, **{outer: {parts[0]: value} if parts else value})


def test_start_rules_are_kept_as_they_were_asked_for() -> None:
    options = {
        "concurrency": {"total": 10, "perKey": 2.0, "key": "data.patientId"},
        "throttle": {"limit": 5, "periodSeconds": 0.5, "burst": 3, "key": "data.a.b"},
    }
    assert define(executionOptions=options).start_rules == StartRules(
        Concurrency(10, 2, "data.patientId"), Throttle(5, 500, 3, "data.a.b")
    )
    assert define(executionOptions={"throttle": {"limit": 1, "periodSeconds": 60}}).start_rules == StartRules(
        None, Throttle(1, 60_000, 1)
    )


def test_an_empty_rule_takes_away_the_one_there_was_and_the_other_stays() -> None:
    former = define(
        executionOptions={"concurrency": {"total": 1}, "throttle": {"limit": 1, "periodSeconds": 1}}
    ).start_rules
    assert start_rules(None, None, former) == former
    assert start_rules(ConcurrencyBody(), None, former) == StartRules(None, Throttle(1, 1_000))
    assert start_rules(None, ThrottleBody(), former) == StartRules(Concurrency(1))
    assert start_rules(ConcurrencyBody(), ThrottleBody(), former) is None


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a" * 65, "hello\n", "../x", "arn:aws:lambda:eu-west-1:123456789012:function:hello"],
)
def test_a_name_that_breaks_the_rule_has_an_error_of_its_own(name: str) -> None:
    assert_refused(errors.INVALID_FUNCTION_NAME, "64 letters", name=name)


@pytest.mark.parametrize(("runtime", "instead"), RETIRED_RUNTIMES.items())
def test_a_runtime_that_nobody_runs_any_more_is_refused_with_what_to_use_instead(runtime: str, instead: str) -> None:
    assert runtime not in RUNTIMES
    assert instead in RUNTIMES
    assert_refused(errors.FIELD_FORMAT, f"use {instead} instead", runtime=runtime)


def test_tools_that_offer_old_runtimes_are_told() -> None:
    assert {"dotnet7", "nodejs14.x", "python3.7", "go1.x", "java8"} <= set(RETIRED_RUNTIMES)


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT"])
def test_variables_of_the_lambda_runtime_cannot_be_set(name: str) -> None:
    variables = {name: {"value": "x"}}
    assert_refused(errors.INVALID_CONFIGURATION, name, "reserved", environmentVariables=variables)


def test_the_environment_may_fill_its_limit_in_bytes_and_no_more() -> None:
    full = {"NAME": {"value": "é" * 2046}}
    assert define(environmentVariables=full).environment == {"NAME": "é" * 2046}
    over = {"NAME": {"value": "é" * 2046 + "x"}}
    assert_refused(errors.INVALID_CONFIGURATION, "4097", "4096", environmentVariables=over)


def test_more_variables_than_could_fit_are_refused_without_a_look_at_each() -> None:
    many = {f"not a name {number}": {"value": ""} for number in range(4097)}
    assert_refused(errors.INVALID_CONFIGURATION, "4097", "4096", environmentVariables=many)


@given(st.binary(min_size=1))
def test_code_comes_out_as_it_went_in(code: bytes) -> None:
    assert decode_code(base64.b64encode(code).decode()) == code


@pytest.mark.parametrize("text", ["", "a", "UEs", "UE s=", "UEs=\n", "_-__", "é", "UEs=UEs=", "\0"])
def test_code_that_is_not_base64_of_something_is_refused(text: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_code(text)
    assert caught.value.kind == errors.INVALID_CODE
    assert "base64" in caught.value.message


@given(
    st.dictionaries(
        st.sampled_from(
            ["timeLimit", "memoryLimit", "environmentVariables", "retryPolicy", "executionOptions", "enabled"]
        ),
        st.none() | st.booleans() | st.integers() | st.text() | st.dictionaries(st.text(), st.text()),
    )
)
def test_any_values_of_fields_are_a_function_or_an_error_naming_a_field(fields: dict[str, Any]) -> None:
    result = outcome(json.dumps({**LEAST, **fields}).encode())
    if isinstance(result, ContractError):
        assert result.kind == errors.FIELD_FORMAT
        assert any(name in result.message for name in fields)
