"""The signer against botocore's own, byte for byte."""

import datetime
from typing import Any
from unittest.mock import patch

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import pytest
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from taskd.model.errors import TaskdError
from taskd.runtime.aws.client.endpoint import Endpoint, parse_endpoint
from taskd.runtime.aws.client.invoke_request import InvokeRequests, UnusableNameError, invoke_path
from taskd.runtime.aws.client.sigv4 import Credentials

NOW_MS = 1_632_928_627_051
LOCAL = parse_endpoint("http://127.0.0.1:9001")

_word = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=64)
_alias = st.one_of(st.just(""), _word.map(lambda word: f":{word}"), st.just(":$LATEST"))
_arns = st.builds(
    "arn:{}:lambda:{}:123456789012:function:{}{}".format,
    st.sampled_from(["aws", "aws-cn", "aws-us-gov"]),
    st.sampled_from(["eu-west-1", "us-east-1"]),
    _word,
    _alias,
)
_any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name not in (".", ".."))
_names = st.one_of(st.builds(str.__add__, _word, _alias), _arns, _any_text)
_visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
_credentials = st.builds(
    Credentials,
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=20),
    st.text(min_size=1).filter(lambda secret: secret.isprintable()),
    st.none() | st.text(_visible, min_size=1),
)
_urls = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(
        ["lambda.eu-west-1.amazonaws.com", "LocalHost", "127.0.0.1", "[::1]", "[2001:DB8::7]", "b\u00fccher.example"]
    ),
    st.sampled_from(["", ":80", ":443", ":9001"]),
    st.sampled_from(["", "/", "/base", "/a/b%20c/"]),
)
_clocks_ms = st.integers(0, 4_102_444_800_000)


def headers_of(head: bytes) -> dict[str, str]:
    lines = head.removesuffix(b"\r\n\r\n").decode("ascii").split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


def signed_by_botocore(
    head: bytes, body: bytes, endpoint: Endpoint, region: str, credentials: Credentials, now_ms: int
) -> dict[str, Any]:
    """The same request, without its signature, signed by botocore at ``now_ms``."""
    path = head.split(b" ", 2)[1].decode("ascii")
    added = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token", "Host", "Content-Length", "User-Agent")
    kept = {name: value for name, value in headers_of(head).items() if name not in added}
    scheme = "https" if endpoint.tls else "http"
    url = f"{scheme}://{endpoint.authority}{path}"
    request = botocore.awsrequest.AWSRequest(method="POST", url=url, headers=kept, data=body)
    request.context["timestamp"] = ""
    frozen = botocore.credentials.Credentials(credentials.access_key, credentials.secret_key, credentials.token)
    now = datetime.datetime.fromtimestamp(now_ms // 1000, datetime.UTC)
    with patch("botocore.auth.get_current_datetime", return_value=now):
        botocore.auth.SigV4Auth(frozen, "lambda", region).add_auth(request)
    return dict(request.headers.items())


@given(_names, st.binary(), _urls, st.sampled_from(["eu-west-1", "us-gov-east-1"]), _credentials, _clocks_ms)
def test_requests_are_signed_as_botocore_signs_them(
    name: str, body: bytes, url: str, region: str, credentials: Credentials, now_ms: int
) -> None:
    endpoint = parse_endpoint(url)
    head = InvokeRequests(endpoint, region, credentials).head(name, body, now_ms)
    ours, theirs = headers_of(head), signed_by_botocore(head, body, endpoint, region, credentials, now_ms)
    for header in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token"):
        assert ours.get(header) == theirs.get(header)


@given(_credentials, st.lists(st.tuples(_names, _clocks_ms), min_size=2, max_size=5))
def test_what_is_cached_never_reaches_another_moment_or_function(
    credentials: Credentials, calls: list[tuple[str, int]]
) -> None:
    requests = InvokeRequests(LOCAL, "eu-west-1", credentials)
    for name, now_ms in [*calls, *reversed(calls)]:
        fresh = InvokeRequests(LOCAL, "eu-west-1", credentials)
        assert requests.head(name, b"{}", now_ms) == fresh.head(name, b"{}", now_ms)


def test_the_authorization_spells_out_scope_and_signed_headers() -> None:
    head = InvokeRequests(LOCAL, "us-east-1", Credentials("AKIDEXAMPLE", "secret")).head("f", b"{}", NOW_MS)
    authorization = headers_of(head)["Authorization"]
    scope, signed, signature = authorization.removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    assert scope == "Credential=AKIDEXAMPLE/20210929/us-east-1/lambda/aws4_request"
    assert signed == "SignedHeaders=content-type;host;x-amz-date;x-amz-invocation-type;x-amz-log-type"
    assert len(signature.removeprefix("Signature=")) == 64


@pytest.fixture(scope="module")
def invoke_operation() -> Any:
    return botocore.session.Session().get_service_model("lambda").operation_model("Invoke")


def test_paths_are_those_that_botocore_asks_for(invoke_operation: Any) -> None:
    serializer = create_serializer("rest-json")

    @given(_names)
    def check(name: str) -> None:
        theirs = serializer.serialize_to_request({"FunctionName": name}, invoke_operation)
        assert invoke_path(LOCAL, name) == theirs["url_path"]

    check()


@pytest.mark.parametrize("name", ["", ".", "..", "half a pair \ud800"])
def test_a_name_that_no_path_can_hold_is_refused(name: str) -> None:
    with pytest.raises(UnusableNameError):
        InvokeRequests(LOCAL, "eu-west-1", Credentials("a", "b")).head(name, b"{}", NOW_MS)


def test_many_function_names_do_not_fill_the_memory() -> None:
    requests = InvokeRequests(LOCAL, "eu-west-1", Credentials("a", "b"))
    for number in range(10_000):
        requests.head(f"f{number}", b"{}", NOW_MS)
    assert len(requests._templates) <= 4096


def test_credentials_do_not_show_their_secrets() -> None:
    assert repr(Credentials("AKID", "very secret", "a token")) == "Credentials(access_key='AKID')"


def test_the_parts_of_an_endpoint() -> None:
    endpoint = parse_endpoint("https://LAMBDA.example:8443/base/")
    assert endpoint == Endpoint("lambda.example", 8443, tls=True, authority="lambda.example:8443", base_path="/base")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "lambda.example",
        "ftp://lambda.example",
        "http://",
        "http://:9001",
        "http://host:notaport",
        "http://host:99999",
        "http://user:password@host",
        "http://host/?query",
        "http://host/#fragment",
        "http://host/a/../b",
        "http://host//double",
        "http://host/with space",
        "http://host/line\r\nend",
        "http://ho st",
        "http://[::1",
        "http://" + "x" * 300,
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused_with_advice(url: str) -> None:
    with pytest.raises(TaskdError, match="endpoint_url"):
        parse_endpoint(url)
