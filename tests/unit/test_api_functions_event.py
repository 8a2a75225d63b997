"""The event of an API function, beyond what a well-behaved HTTP client would send."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.execution.api_functions.event import ApiCall, encode_event
from taskd.model.errors import BODY_TOO_LARGE, ContractError
from taskd.model.limits import LAMBDA_PAYLOAD_MAX_BYTES, MIB

ID = "5f0000000000000000000001"


def event_of(*, query_mark: bool = True, **fields: Any) -> dict[str, Any]:
    least: dict[str, Any] = {"method": "GET", "path": "/", "query": "", "headers": [], "body": b""}
    event: dict[str, Any] = msgspec.json.decode(
        encode_event(ApiCall(**{**least, **fields}), ID, 5, query_mark=query_mark)
    )
    return event


def test_the_question_mark_of_the_query_can_be_left_out() -> None:
    assert event_of(query="a=1")["rawQueryString"] == "?a=1"
    assert event_of(query="a=1", query_mark=False)["rawQueryString"] == "a=1"
    assert event_of()["rawQueryString"] == ""


def test_fields_that_adapters_look_for_are_absent_where_there_is_nothing_to_tell() -> None:
    assert not {"cookies", "queryStringParameters"} & event_of().keys()


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("a=1&a=2", {"a": "1,2"}),
        ("a", {"a": ""}),
        ("a=%C3%A9+x&=y", {"a": "é x", "": "y"}),
        ("%FF=%FF", {"\ufffd": "\ufffd"}),
        ("&&", {}),
    ],
)
def test_query_parameters_are_decoded(query: str, parameters: dict[str, str]) -> None:
    assert event_of(query=query)["queryStringParameters"] == parameters


def test_the_length_is_that_of_what_is_passed_on() -> None:
    assert event_of(headers=[("Content-Length", "99")])["headers"] == {}
    assert event_of(headers=[("Content-Length", "99")], body=b"abc")["headers"] == {"content-length": "3"}


@given(st.text(alphabet="xX-_", min_size=1), st.text(alphabet="eExXhH-_rR"))
def test_no_spelling_of_the_identity_headers_passes(gap: str, tail: str) -> None:
    for name in (f"x{gap}exh{gap}requesting{gap}user-id", f"X-ExH_ReQuEsTiNg-{tail}"):
        headers = event_of(headers=[(name, "forged")])["headers"]
        assert not any(passed.replace("_", "-").startswith("x-exh-requesting-") for passed in headers)


@given(st.binary())
def test_every_body_arrives_byte_for_byte(body: bytes) -> None:
    event = event_of(body=body)
    arrived = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
    assert arrived == body


@pytest.mark.parametrize("body", [b"x" * LAMBDA_PAYLOAD_MAX_BYTES, b"\xff" * (5 * MIB), b"\0" * (2 * MIB)])
def test_what_no_function_can_be_given_is_too_large(body: bytes) -> None:
    with pytest.raises(ContractError) as raised:
        event_of(body=body)
    assert raised.value.kind is BODY_TOO_LARGE
