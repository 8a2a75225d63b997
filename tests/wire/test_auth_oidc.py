"""JWTs of an OIDC issuer: taken if they are genuine, for us and in time; its keys are fetched seldom, and rotate."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from msgspec import UNSET, Struct, field
from msgspec.structs import replace
from support.auth.accounts import ADA, EVERYBODY
from support.auth.service import SecuredService, secured_service
from support.http.error_shape import assert_error

from taskd.auth.settings import AuthSettings

RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
HOUR_S = 3600


class Issuer(Struct):
    """An identity provider on a free port, and how often it was asked for its keys."""

    url: str = ""
    keys: list[dict[str, Any]] = []
    fetches: int = 0
    broken: bool = False
    document: Any = UNSET
    """What it publishes instead of :attr:`keys`."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set from the time that :attr:`gate` holds a fetch up."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers wait for it."""

    async def discovery(self, _: web.Request) -> web.Response:
        return web.json_response({"jwks_uri": f"{self.url}/keys"})

    async def jwks(self, _: web.Request) -> web.Response:
        self.fetches += 1
        if not self.gate.is_set():
            self.asked.set()
        await self.gate.wait()
        document = {"keys": self.keys} if self.document is UNSET else self.document
        return web.Response(status=500) if self.broken else web.json_response(document)


@asynccontextmanager
async def running_issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer(keys=[jwk("rsa", RSA_KEY), jwk("ec", EC_KEY), {"kty": "unheard-of", "kid": "odd"}])
    issuer.gate.set()
    app = web.Application()
    app.add_routes([web.get("/.well-known/openid-configuration", issuer.discovery), web.get("/keys", issuer.jwks)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = site.name
    try:
        yield issuer
    finally:
        await runner.cleanup()


def jwk(key_id: str, key: Any, **fields: str) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": key_id, "use": "sig", **fields}


class OidcService(Struct):
    """A server that trusts an issuer."""

    secured: SecuredService
    issuer: Issuer

    def token(
        self,
        key: Any = RSA_KEY,
        kid: str = "rsa",
        algorithm: str = "RS256",
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        now_s = self.secured.clock() // 1000
        usual = {"iss": self.issuer.url, "aud": "taskd", "sub": "auth0|ada", "exp": now_s + HOUR_S, "email": "a@b.c"}
        set_claims = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(set_claims, key, algorithm, headers={"kid": kid, **(header or {})})

    async def get(self, token: str, path: str = "/tasks/v1") -> Any:
        return await self.secured.service.client.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
async def oidc(tmp_path: Path) -> AsyncIterator[OidcService]:
    async with running_issuer() as issuer:
        settings = AuthSettings(oidc_issuer=issuer.url, oidc_audience="taskd", oidc_permissions_claim="taskd.may")
        async with secured_service(tmp_path, settings=settings) as secured:
            yield OidcService(secured, issuer)


@pytest.mark.parametrize(("key", "kid", "algorithm"), [(RSA_KEY, "rsa", "RS256"), (EC_KEY, "ec", "ES256")])
async def test_a_genuine_token_does_what_its_claim_names(oidc: OidcService, key: Any, kid: str, algorithm: str) -> None:
    token = oidc.token(key, kid, algorithm, taskd={"may": ["VIEW_TASKS", "of no concern", 7]})
    assert (await oidc.get(token)).status == 200
    await assert_error(await oidc.get(token, "/tasks/v1/functions"), 10)


async def test_a_claim_names_roles_and_may_be_a_text(oidc: OidcService) -> None:
    assert (await oidc.get(oidc.token(taskd={"may": "openid operators"}), "/tasks/v1/functions")).status == 200


@pytest.mark.parametrize("claim", [None, {}, {"may": None}, {"may": {"x": 1}}, "text", ["may"]])
async def test_without_the_claim_nothing_is_allowed(oidc: OidcService, claim: Any) -> None:
    await assert_error(await oidc.get(oidc.token(taskd=claim)), 10)


async def test_me_is_whom_the_token_is_about_even_if_a_user_has_that_id(oidc: OidcService) -> None:
    token = oidc.token(given_name="Ada", family_name="Byron", sub=ADA.id)
    me = await (await oidc.get(token, "/users/v1/me")).json()
    assert me == {"id": ADA.id, "email": "a@b.c", "first_name": "Ada", "last_name": "Byron", "roles": []}


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": -31}, 118),
        ({"nbf": 31}, 117),
        ({"iss": "https://elsewhere.example.com"}, 117),
        ({"aud": "another service"}, 117),
        ({"aud": None}, 117),
        ({"exp": None}, 117),
        ({"sub": None}, 117),
        ({"sub": ""}, 117),
        ({"sub": "x" * 256}, 117),
    ],
    ids=range(9),
)
async def test_a_token_that_is_not_for_us_or_not_in_time_is_refused(
    oidc: OidcService, claims: dict[str, Any], code: int
) -> None:
    now_s = oidc.secured.clock() // 1000
    moved: dict[str, Any] = {name: value + now_s if isinstance(value, int) else value for name, value in claims.items()}
    await assert_error(await oidc.get(oidc.token(**moved, taskd={"may": ["VIEW_TASKS"]})), code)


async def test_a_token_ends_in_time_also_if_it_was_used_before(oidc: OidcService) -> None:
    token = oidc.token(taskd={"may": ["VIEW_TASKS"]})
    assert (await oidc.get(token)).status == 200
    oidc.secured.clock.advance((HOUR_S + 30) * 1000)
    await assert_error(await oidc.get(token), 118)


async def test_forged_tokens_are_refused(oidc: OidcService) -> None:
    await assert_error(await oidc.get(oidc.token(OTHER_RSA_KEY)), 117)
    await assert_error(await oidc.get(oidc.token(RSA_KEY, "rsa", "RS512")), 117)
    await assert_error(await oidc.get(oidc.token(b"k" * 64, "rsa", "HS256")), 117)
    await assert_error(await oidc.get(oidc.token("", "rsa", "none")), 117)
    await assert_error(await oidc.get(oidc.token(RSA_KEY, "ec")), 117)
    await assert_error(await oidc.get("a.b.c"), 117)


def segment(value: bytes | dict[str, Any]) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def public_pem() -> bytes:
    return RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed_with_the_public_key(body: str) -> str:
    """HMAC with what everybody knows: taken by whoever lets the token say how it is to be verified."""
    return segment(hmac.digest(public_pem(), body.encode(), "sha256"))


ALGORITHMS: list[Any] = [
    *("none", "None", "nOnE", "", "HS256", "HS512", "rs256", "RS256 ", "ES256", "PS256", "RS512", "EdDSA"),
    *(None, 0, [], ["RS256"], {"RS256": 1}),
]
KEY_IDS: list[Any] = [
    None,
    0,
    ["rsa"],
    {},
    "",
    "RSA",
    " rsa",
    "rsa\0",
    "odd",
    "../../dev/null",
    "' OR 1=1 --",
    "x" * 10_000,
]
HEADERS: list[dict[str, Any] | bytes] = [
    *({"alg": algorithm, "kid": "rsa"} for algorithm in ALGORITHMS),
    *({"alg": algorithm, "kid": key_id} for algorithm in ("HS256", "RS256") for key_id in KEY_IDS),
    {"alg": "RS256", "kid": "rsa", "jwk": jwk("rsa", OTHER_RSA_KEY)},
    {"alg": "RS256", "kid": "rsa", "jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/x"},
    {"alg": "RS256", "kid": "rsa", "b64": False, "crit": ["b64"]},
    {"alg": "RS256", "kid": "rsa", "zip": "DEF"},
    *(b'{"alg":"RS256","kid":"rsa","x":' + b"[" * depth + b"]" * depth + b"}" for depth in (900, 1500, 4000)),
    *(b'{"alg":"none","alg":"RS256","kid":"rsa"}', b'{"kid":"rsa","alg":"RS256","alg":"none"}'),
    *(b"[]", b"7", b"", b"\xff"),
]


@pytest.mark.parametrize("signature", ["", "AAAA", "=", "\u20ac", "hmac"])
async def test_no_header_makes_a_forged_token_good(oidc: OidcService, signature: str) -> None:
    genuine = oidc.token(taskd={"may": ["VIEW_TASKS"]}).split(".")
    for header in HEADERS:
        body = f"{segment(header)}.{genuine[1]}"
        forged = f"{body}.{signed_with_the_public_key(body) if signature == 'hmac' else signature}"
        await assert_error(await oidc.get(forged), 117)
        await assert_error(await oidc.get(f"{body}.{genuine[2]}"), 117)


CLAIMS: dict[str, list[Any]] = {
    "exp": [-1, 1e300, 10**11, 2**63, "9999999999", True, [], {}, float("nan"), float("inf")],
    "nbf": [4e9, "0", True, [], -1, float("-inf")],
    "aud": [[], ["Taskd"], ["taskd "], [""], [None], {"taskd": 1}, "taskd/", "", 0, True],
    "iss": ["", "{issuer}/", "{issuer}#", ["{issuer}"], {}, 0, None, "{ISSUER}"],
    "sub": [0, [], {}, None, "", ["auth0|ada"]],
}


@pytest.mark.parametrize("claims", [{name: value} for name, values in CLAIMS.items() for value in values], ids=repr)
async def test_a_genuine_signature_makes_no_other_claims_good(oidc: OidcService, claims: dict[str, Any]) -> None:
    if isinstance(claims.get("iss"), str):
        claims = {"iss": claims["iss"].format(issuer=oidc.issuer.url, ISSUER=oidc.issuer.url.upper())}
    payload = {**jwt.decode(oidc.token(), options={"verify_signature": False}), "taskd": {"may": ["ALL"]}, **claims}
    token = jwt.PyJWS().encode(json.dumps(payload).encode(), RSA_KEY, "RS256", {"kid": "rsa"})
    assert (await oidc.get(token)).status == 401


@pytest.mark.parametrize("document", [[], "text", None, {"keys": None}, {"keys": [1]}, {"keys": {"a": 1}}], ids=repr)
async def test_keys_of_no_known_shape_leave_those_before_in_force(oidc: OidcService, document: Any) -> None:
    token = oidc.token(taskd={"may": ["VIEW_TASKS"]})
    assert (await oidc.get(token)).status == 200
    oidc.issuer.document = document
    oidc.secured.clock.advance(300_001)
    assert (await oidc.get(token)).status == 200
    assert oidc.issuer.fetches == 2


async def test_keys_are_fetched_once_for_many_tokens(oidc: OidcService) -> None:
    for number in range(20):
        await oidc.get(oidc.token(sub=f"user{number}"))
    assert oidc.issuer.fetches == 1


async def test_a_rotated_key_is_fetched_and_made_up_ones_do_not_hammer_the_issuer(oidc: OidcService) -> None:
    await oidc.get(oidc.token())
    oidc.issuer.keys = [jwk("new", OTHER_RSA_KEY)]
    oidc.secured.clock.advance(11_000)
    assert (await oidc.get(oidc.token(OTHER_RSA_KEY, "new", taskd={"may": ["VIEW_TASKS"]}))).status == 200
    assert oidc.issuer.fetches == 2
    for number in range(20):
        await assert_error(await oidc.get(oidc.token(OTHER_RSA_KEY, f"made up {number}")), 117)
    assert oidc.issuer.fetches == 2


async def test_a_token_that_was_used_before_ends_with_the_key_that_its_issuer_withdraws(oidc: OidcService) -> None:
    token = oidc.token(taskd={"may": ["VIEW_TASKS"]})
    assert (await oidc.get(token)).status == 200
    oidc.issuer.keys = [jwk("new", OTHER_RSA_KEY)]
    oidc.secured.clock.advance(300_000)
    assert (await oidc.get(token)).status == 200
    oidc.secured.clock.advance(1)
    await assert_error(await oidc.get(token), 117)


async def test_a_withdrawn_key_ends_at_once_when_the_keys_are_fetched_for_another_token(oidc: OidcService) -> None:
    token = oidc.token(taskd={"may": ["VIEW_TASKS"]})
    assert (await oidc.get(token)).status == 200
    oidc.issuer.keys = [jwk("rsa", OTHER_RSA_KEY), jwk("new", OTHER_RSA_KEY)]
    oidc.secured.clock.advance(11_000)
    assert (await oidc.get(oidc.token(OTHER_RSA_KEY, "new", taskd={"may": ["VIEW_TASKS"]}))).status == 200
    await assert_error(await oidc.get(token), 117)


async def test_a_token_that_was_used_before_goes_on_with_a_key_that_its_issuer_keeps(oidc: OidcService) -> None:
    token = oidc.token(taskd={"may": ["VIEW_TASKS"]})
    for _ in range(3):
        assert (await oidc.get(token)).status == 200
        oidc.secured.clock.advance(300_001)
    assert oidc.issuer.fetches == 3


async def test_a_token_with_a_critical_header_that_nobody_knows_is_refused(oidc: OidcService) -> None:
    header = {"crit": ["bound-to"], "bound-to": "another service"}
    await assert_error(await oidc.get(oidc.token(header=header, taskd={"may": ["VIEW_TASKS"]})), 117)


async def test_a_silent_issuer_holds_up_one_caller_and_not_those_whose_key_is_known(oidc: OidcService) -> None:
    token = oidc.token(taskd={"may": ["VIEW_TASKS"]})
    assert (await oidc.get(token)).status == 200
    oidc.issuer.gate.clear()
    oidc.secured.clock.advance(300_001)
    held_up = asyncio.create_task(oidc.get(token))
    await oidc.issuer.asked.wait()
    assert (await oidc.get(token)).status == 200
    assert not held_up.done()
    oidc.issuer.gate.set()
    assert (await held_up).status == 200


async def test_an_issuer_that_is_down_lets_known_keys_go_on(oidc: OidcService) -> None:
    await oidc.get(oidc.token())
    oidc.issuer.broken = True
    oidc.secured.clock.advance(2 * HOUR_S * 1000)
    assert (await oidc.get(oidc.token(taskd={"may": ["VIEW_TASKS"]}))).status == 200
    assert oidc.issuer.fetches == 2


async def test_an_issuer_that_was_never_reached_is_told_as_such(oidc: OidcService) -> None:
    oidc.issuer.broken = True
    refused = await oidc.get(oidc.token())
    await assert_error(refused, 1503)
    assert refused.headers["Retry-After"]


async def test_tokens_are_proved_anew_when_the_accounts_change(oidc: OidcService) -> None:
    token = oidc.token(taskd={"may": ["operators"]})
    assert (await oidc.get(token)).status == 200
    oidc.secured.change(replace(EVERYBODY, roles=(), users=()))
    await assert_error(await oidc.get(token), 10)
