"""What an API function may return, and the rule that each other result breaks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.execution.api_functions.result import answer_of
from taskd.model.errors import INVALID_API_RESULT, ContractError
from taskd.model.limits import LAMBDA_PAYLOAD_MAX_BYTES

BROKEN = [
    # the result as JSON text, words of the rule that it breaks
    (b"", "JSON object"),
    (b"nonsense", "JSON object"),
    (b"null", "JSON object"),
    (b'"text"', "JSON object"),
    (b"[]", "JSON object"),
    (b"\xff", "JSON object"),
    (b"{}", "statusCode must be a number"),
    (b'{"statusCode": "200"}', "statusCode must be a number"),
    (b'{"statusCode": true}', "statusCode must be a number"),
    (b'{"statusCode": null}', "statusCode must be a number"),
    (b'{"statusCode": 199}', "from 200 to 499"),
    (b'{"statusCode": 500}', "from 200 to 499"),
    (b'{"statusCode": 200.5}', "whole number"),
    (b'{"statusCode": -1e300}', "from 200 to 499"),
    (b'{"statusCode": 200, "headers": []}', "headers must be an object"),
    (b'{"statusCode": 200, "headers": {"a": 1}}', "headers.a must be a string"),
    (b'{"statusCode": 200, "headers": {"a": ["x"]}}', "headers.a must be a string"),
    (b'{"statusCode": 200, "headers": {"a b": "x"}}', "names of letters"),
    (b'{"statusCode": 200, "headers": {"": "x"}}', "names of letters"),
    ('{"statusCode": 200, "headers": {"é": "x"}}'.encode(), "names of letters"),
    (b'{"statusCode": 200, "headers": {"a\\r\\nb": "x"}}', "names of letters"),
    (b'{"statusCode": 200, "headers": {"a": "x\\r\\nSet-Cookie: y"}}', "letters, digits and the marks"),
    (b'{"statusCode": 200, "headers": {"a": "\\u0000"}}', "letters, digits and the marks"),
    (b'{"statusCode": 200, "headers": {"a": "x\\ty"}}', "letters, digits and the marks"),
    (b'{"statusCode": 200, "headers": {"a": "x\\\\y"}}', "letters, digits and the marks"),
    ('{"statusCode": 200, "headers": {"a": "é"}}'.encode(), "letters, digits and the marks"),
    (b'{"statusCode": 200, "cookies": "a=1"}', "cookies must be an array"),
    (b'{"statusCode": 200, "cookies": [1]}', "cookies.0 must be a string"),
    (b'{"statusCode": 200, "cookies": ["a\\nb"]}', "control characters"),
    (b'{"statusCode": 200, "isBase64Encoded": 1}', "true or false"),
    (b'{"statusCode": 200, "isBase64Encoded": true}', "must be a string"),
    (b'{"statusCode": 200, "isBase64Encoded": true, "body": {}}', "must be a string"),
    (b'{"statusCode": 200, "isBase64Encoded": true, "body": "*"}', "must be base64"),
    ('{"statusCode": 200, "isBase64Encoded": true, "body": "é"}'.encode(), "must be base64"),
    (b'{"statusCode": 200, "headers": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", "JSON object"),
]


def test_a_header_may_have_letters_digits_and_marks() -> None:
    value = "aZ09_ :;.,/\"'?!(){}[]@<>=-+*#$&`|~^%"
    assert answer_of(json.dumps({"statusCode": 200, "headers": {"a": value}}).encode()).headers["a"] == value


@pytest.mark.parametrize(("result", "rule"), BROKEN)
def test_the_broken_rule_is_named(result: bytes, rule: str) -> None:
    with pytest.raises(ContractError) as raised:
        answer_of(result)
    assert raised.value.kind is INVALID_API_RESULT
    assert rule in raised.value.message


def test_a_body_over_the_limit_is_refused() -> None:
    body = b'"' + b"x" * (LAMBDA_PAYLOAD_MAX_BYTES + 1) + b'"'
    with pytest.raises(ContractError, match="at most 6291456 bytes"):
        answer_of(b'{"statusCode": 200, "body": %s}' % body)


def test_headers_that_speak_of_the_connection_are_ignored() -> None:
    names = ("Connection", "content-length", "Transfer-Encoding", "Keep-Alive", "Upgrade")
    result = {"statusCode": 200, "headers": {**dict.fromkeys(names, "x"), "Content-Type": "text/css"}}
    assert answer_of(json.dumps(result).encode()).headers == {"content-type": "text/css"}


def test_the_later_of_two_spellings_of_a_header_counts() -> None:
    assert answer_of(b'{"statusCode": 200, "headers": {"X-A": "1", "x-a": "2"}}').headers["x-a"] == "2"


def test_text_that_is_no_unicode_is_no_body() -> None:
    with pytest.raises(ContractError):
        answer_of(b'{"statusCode": 200, "body": "\\ud800"}')


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_json_can_be_a_body(value: object) -> None:
    text = json.dumps(value)
    answer = answer_of(b'{"statusCode": 200, "body": %s}' % text.encode())
    assert answer.body == (value.encode("utf-8", "surrogatepass") if isinstance(value, str) else text.encode())


@given(st.binary())
def test_whatever_a_function_returns_is_an_answer_or_a_named_error(result: bytes) -> None:
    try:
        answer_of(result)
    except ContractError as error:
        assert error.kind is INVALID_API_RESULT  # noqa: PT017
