"""OAuth 1 signatures: the examples of RFC 5849, and every way to touch a signed request."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oauthlib.oauth1 import Client
from support import own_loop
from support.auth.accounts import ADA, CONSUMER, EVERYBODY
from support.clocks import FakeClock

from taskd.auth import oauth1_verifier
from taskd.auth.account_directory import Directory
from taskd.auth.logins import oauth1_token
from taskd.auth.nonces import WINDOW_S
from taskd.auth.oauth1_signature import (
    Secrets,
    SignatureError,
    SignedRequest,
    base_string,
    is_genuine,
    parse_authorization,
    query_parameters,
)
from taskd.auth.oauth1_verifier import OAuth1Verifier
from taskd.auth.replay_marks import ReplayMarks
from taskd.model import errors
from taskd.model.errors import ContractError

KEY = b"k" * 32
TOKEN = oauth1_token(KEY, "7" * 24, ADA, CONSUMER)
HOST = "tasks.example.com:8080"

# RFC 5849, 1.2: three requests of one dialogue.
TEMPORARY = (
    SignedRequest("POST", "photos.example.net", "/initiate", ""),
    (
        'OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_signature_method="HMAC-SHA1", '
        'oauth_timestamp="137131200", oauth_nonce="wIjqoS", '
        'oauth_callback="http%3A%2F%2Fprinter.example.com%2Fready", '
        'oauth_signature="74KNZJeDHnMBp0EMJ9ZHt%2FXKycU%3D"'
    ),
    "",
)
EXCHANGE = (
    SignedRequest("POST", "photos.example.net", "/token", ""),
    (
        'OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_token="hh5s93j4hdidpola", '
        'oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131201", oauth_nonce="walatlh", '
        'oauth_verifier="hfdp7dh39dks9884", oauth_signature="gKgrFCywp7rO0OXSjdot%2FIHF7IU%3D"'
    ),
    "hdhd0244k9j7ao03",
)
PROTECTED = (
    SignedRequest("GET", "photos.example.net", "/photos", "file=vacation.jpg&size=original"),
    (
        'OAuth realm="Photos", oauth_consumer_key="dpf43f3p2l4k3l03", oauth_token="nnch734d00sl2jdk", '
        'oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131202", oauth_nonce="chapoH", '
        'oauth_signature="MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D"'
    ),
    "pfkkdhi9sl3r4s00",
)


@pytest.mark.parametrize(
    ("request_", "header", "token_secret"), [TEMPORARY, EXCHANGE, PROTECTED], ids=["initiate", "token", "photos"]
)
def test_the_signatures_of_the_rfc_are_genuine(request_: SignedRequest, header: str, token_secret: str) -> None:
    authorization = parse_authorization(header)
    assert is_genuine(request_, authorization, Secrets("kd94hf93k423kf44", token_secret))
    assert not is_genuine(request_, authorization, Secrets("kd94hf93k423kf44", token_secret + "x"))
    assert not is_genuine(request_, authorization, Secrets("kd94hf93k423kf45", token_secret))


def test_the_base_string_of_the_rfc_is_ours() -> None:
    """RFC 5849, 3.4.1.1, with its form-encoded body among the parameters."""
    request = SignedRequest("POST", "example.com", "/request", "b5=%3D%253D&a3=a&c%40=&a2=r%20b")
    header = (
        'OAuth realm="Example", oauth_consumer_key="9djdj82h48djs9d2", oauth_token="kkk9d7dh3k39sjv7", '
        'oauth_signature_method="HMAC-SHA1", oauth_timestamp="137131201", oauth_nonce="7d8f3e4a", '
        'oauth_signature="bYT5CMsGcbgUdFHObYMEfcx6bsw%3D"'
    )
    body = query_parameters("c2&a3=2+q")
    parameters = [*query_parameters(request.query), *parse_authorization(header).signed, *body]
    assert base_string("http://", request, parameters) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D"
        "%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1"
        "%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
    )


@pytest.mark.parametrize(
    ("host", "uri"),
    [
        ("EXAMPLE.COM:80", "http://example.com/r%20v/X"),
        ("www.example.net:8080", "http://www.example.net:8080/r%20v/X"),
        ("[::1]:8080", "http://[::1]:8080/r%20v/X"),
    ],
)
def test_hosts_are_written_as_the_rfc_has_it(host: str, uri: str) -> None:
    text = base_string("http://", SignedRequest("GET", host, "/r%20v/X", ""), [])
    assert text == f"GET&{quote(uri, safe='~')}&"


def signed(request: SignedRequest, clock: FakeClock, scheme: str = "http", **fields: str) -> str:
    """The ``Authorization`` header of ``request``, made by oauthlib's own client."""
    client = Client(
        CONSUMER.key,
        CONSUMER.secret,
        fields.get("token", TOKEN.token),
        fields.get("token_secret", TOKEN.secret),
        timestamp=fields.get("timestamp", str(clock() // 1000)),
        nonce=fields.get("nonce"),
    )
    query = f"?{request.query}" if request.query else ""
    uri = f"{scheme}://{request.host}{request.path}{query}"
    return str(client.sign(uri, request.method)[1]["Authorization"])


class Signer:
    """The signatures of a service, and requests to it."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.signatures = OAuth1Verifier(ReplayMarks(directory / "oauth1.marks"), self.clock)
        self.signatures.use(Directory(EVERYBODY), KEY)

    def take(self, request: SignedRequest, header: str) -> oauth1_verifier.Signer:
        return own_loop.run(self.signatures.signer(request, header))

    def kind_of_refusal(self, request: SignedRequest, header: str) -> errors.ErrorKind:
        with pytest.raises(ContractError) as caught:
            self.take(request, header)
        return caught.value.kind


@contextmanager
def new_signer() -> Iterator[Signer]:
    with TemporaryDirectory() as directory:
        signer = Signer(Path(directory))
        try:
            yield signer
        finally:
            signer.signatures.close()


@pytest.fixture
def signer() -> Iterator[Signer]:
    with new_signer() as signer:
        yield signer


REQUEST = SignedRequest("GET", HOST, "/tasks/v1", "eq(status%2Cnew)&sort(-creationTimestamp)&tags=a%20b")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_signed_request_names_its_user_and_application(signer: Signer, scheme: str) -> None:
    found = signer.take(REQUEST, signed(REQUEST, signer.clock, scheme))
    assert (found.user, found.application) == (ADA, CONSUMER)


def test_a_request_without_a_token_is_the_applications_own(signer: Signer) -> None:
    header = signed(REQUEST, signer.clock, token="", token_secret="")
    assert signer.take(REQUEST, header).user is None


def test_a_replay_is_refused(signer: Signer) -> None:
    header = signed(REQUEST, signer.clock)
    signer.take(REQUEST, header)
    assert signer.kind_of_refusal(REQUEST, header) is errors.REPLAYED


@pytest.mark.parametrize("offset_s", [-WINDOW_S - 1, WINDOW_S + 1])
def test_a_timestamp_far_from_now_is_refused(signer: Signer, offset_s: int) -> None:
    timestamp = str(signer.clock() // 1000 + offset_s)
    assert signer.kind_of_refusal(REQUEST, signed(REQUEST, signer.clock, timestamp=timestamp)) is errors.REPLAYED


def test_a_request_signed_before_the_service_started_is_refused_also_inside_the_window(signer: Signer) -> None:
    timestamp = str(signer.clock() // 1000 - 1)
    assert signer.kind_of_refusal(REQUEST, signed(REQUEST, signer.clock, timestamp=timestamp)) is errors.REPLAYED


@pytest.mark.parametrize("host", ["", ":80", "[", "a:b"])
def test_a_request_without_a_usable_host_is_refused(signer: Signer, host: str) -> None:
    header = signed(REQUEST, signer.clock)
    assert signer.kind_of_refusal(REQUEST._replace(host=host), header) is errors.OAUTH1_SIGNATURE


def test_a_refused_forgery_does_not_use_up_the_nonce(signer: Signer) -> None:
    genuine = signed(REQUEST, signer.clock, nonce="once")
    forged = signed(REQUEST, signer.clock, nonce="once", token_secret="guessed")
    assert signer.kind_of_refusal(REQUEST, forged) is errors.OAUTH1_SIGNATURE
    signer.take(REQUEST, genuine)


@st.composite
def touched(draw: st.DrawFn) -> tuple[SignedRequest, SignedRequest]:
    """A request, and the same with one character of it changed."""
    query = "&".join(draw(st.lists(st.from_regex(r"[a-z]{1,4}=([A-Za-z0-9._~-]|%[0-9A-F]{2}){0,6}", fullmatch=True))))
    assume(all(byte < 0x80 for byte in quote(query, safe="%=&").encode()))
    request = SignedRequest(
        "POST", HOST, "/tasks/v1/" + draw(st.from_regex(r"[a-zA-Z0-9]{1,8}", fullmatch=True)), query
    )
    field = draw(st.sampled_from([name for name in SignedRequest._fields if getattr(request, name)]))
    text = getattr(request, field)
    at = draw(st.integers(0, len(text) - 1))
    other = draw(st.characters(min_codepoint=0x21, max_codepoint=0x7E))
    return request, request._replace(**{field: text[:at] + other + text[at + 1 :]})


def meaning(request: SignedRequest) -> object:
    """What of ``request`` is signed: the order of parameters and the case of the host are not."""
    try:
        parameters = sorted(query_parameters(request.query))
    except ValueError:
        return object()
    return request.method.upper(), request.host.lower(), request.path, parameters


@given(touched())
def test_touching_any_character_of_a_request_breaks_its_signature(
    requests: tuple[SignedRequest, SignedRequest],
) -> None:
    request, changed = requests
    try:
        query_parameters(request.query)
    except ValueError:
        assume(False)  # not UTF-8, so no client could have signed it
    assume(meaning(request) != meaning(changed))
    with new_signer() as signer:
        header = signed(request, signer.clock)
        assert signer.kind_of_refusal(changed, header) is errors.OAUTH1_SIGNATURE
        signer.take(request, header)


@given(st.data())
def test_touching_any_character_of_the_header_breaks_it(data: st.DataObject) -> None:
    header = signed(REQUEST, FakeClock(), nonce="n" * 20)
    at = data.draw(st.integers(len("OAuth "), len(header) - 1))
    other = data.draw(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
    changed = header[:at] + other + header[at + 1 :]
    with suppress(SignatureError):
        assume(parse_authorization(changed) != parse_authorization(header))
    refusals = (errors.OAUTH1_KEY, errors.OAUTH1_TOKEN, errors.OAUTH1_SIGNATURE, errors.REPLAYED)
    with new_signer() as signer:
        assert signer.kind_of_refusal(REQUEST, changed) in refusals
        signer.take(REQUEST, header)


@pytest.mark.parametrize(
    "header",
    [
        "OAuth ",
        "OAuth nonsense",
        'OAuth oauth_consumer_key="%FF", oauth_nonce="1"',
        'OAuth oauth_consumer_key="consumer"',
        PROTECTED[1].replace("HMAC-SHA1", "PLAINTEXT"),
        PROTECTED[1] + ', oauth_version="2.0"',
        PROTECTED[1].replace("137131202", "-1"),
        PROTECTED[1].replace("137131202", "1" * 5000),
        PROTECTED[1] + f', x="{"x" * 5000}"',
    ],
    ids=range(9),
)
def test_a_malformed_header_is_refused_with_what_is_wrong(signer: Signer, header: str) -> None:
    assert signer.kind_of_refusal(REQUEST, header) is errors.OAUTH1_SIGNATURE


@pytest.mark.parametrize("name", ["oauth_nonce", "oauth_token", "oauth_signature", "oauth_version", "x"])
@pytest.mark.parametrize("value", ["same", "other"])
def test_a_parameter_that_is_there_twice_is_refused(signer: Signer, name: str, value: str) -> None:
    header = signed(REQUEST, signer.clock, nonce="same") + (', x="same"' if name == "x" else "")
    for repeated in (f'{header}, {name}="{value}"', header.replace("OAuth ", f'OAuth {name}="{value}", ')):
        with pytest.raises(SignatureError, match="there twice"):
            parse_authorization(repeated)
        assert signer.kind_of_refusal(REQUEST, repeated) is errors.OAUTH1_SIGNATURE


@pytest.mark.parametrize("query", ["oauth_nonce=other", "oauth_x=1&oauth_x=2"])
def test_a_parameter_of_oauth_that_the_query_repeats_is_refused(signer: Signer, query: str) -> None:
    request = REQUEST._replace(query=query)
    assert signer.kind_of_refusal(request, signed(request, signer.clock)) is errors.OAUTH1_SIGNATURE


def test_a_parameter_of_the_api_may_be_there_twice(signer: Signer) -> None:
    request = REQUEST._replace(query="tags=a&tags=b")
    assert signer.take(request, signed(request, signer.clock)).user == ADA


@given(st.text(max_size=200))
def test_any_header_is_read_or_refused(text: str) -> None:
    try:
        parse_authorization("OAuth " + text)
    except SignatureError:
        return
