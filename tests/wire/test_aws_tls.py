"""Calls over TLS, to a certificate made for the occasion."""

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.aws.environment import a_call, invoking
from support.aws.lambda_server import running_lambda

from taskd.model.errors import TaskdError
from taskd.runtime.aws.client.connector import tls_context
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import InvocationResult, OutcomeUnknown, Success, Throttled


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for ``localhost``, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def call_over_tls(server_tls: ssl.SSLContext, certificate: Path) -> list[InvocationResult]:
    async with (
        running_lambda(server_tls) as server,
        invoking(server.url, tls=tls_context(str(certificate))) as client,
    ):
        names = ["echo", "echo", "huge", "echo", "reset"]
        results = [await client.invoke(a_call(name)) for name in names]
        large = a_call("echo", b'"' + b"x" * 5_000_000 + b'"')
        results.append(await client.invoke(large))
        assert server.connections == 3
        return results


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_calls_over_tls(loop_factory: object, server_tls: ssl.SSLContext, certificate: Path) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]
        results = runner.run(call_over_tls(server_tls, certificate))
    assert [isinstance(result, Success) for result in results] == [True, True, False, True, False, True]
    assert isinstance(results[4], OutcomeUnknown)


async def test_a_certificate_that_nobody_trusts_means_that_nothing_has_run(server_tls: ssl.SSLContext) -> None:
    async with running_lambda(server_tls) as server, invoking(server.url) as client:
        result = await client.invoke(a_call("echo"))
        assert isinstance(result, Throttled)
        assert "certificate" in result.reason.lower()
        assert not server.requests


async def test_a_certificate_for_another_host_is_not_accepted(server_tls: ssl.SSLContext, certificate: Path) -> None:
    async with running_lambda(server_tls) as server:
        url = server.url.replace("localhost", "127.0.0.1")
        async with invoking(url, tls=tls_context(str(certificate))) as client:
            assert isinstance(await client.invoke(a_call("echo")), Throttled)


async def test_the_bundle_of_the_aws_environment_is_trusted(
    server_tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not a secret")
    async with running_lambda(server_tls) as server:
        runtime = AwsRuntime(AwsSettings(region="eu-west-1", endpoint_url=server.url))
        await runtime.start([])
        try:
            assert isinstance(await runtime.invoke(a_call("echo")), Success)
        finally:
            await runtime.stop()


def test_a_bundle_that_cannot_be_read_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(TaskdError, match="AWS_CA_BUNDLE"):
        tls_context(str(tmp_path / "missing.pem"))
    (tmp_path / "empty.pem").touch()
    with pytest.raises(TaskdError, match="AWS_CA_BUNDLE"):
        tls_context(str(tmp_path / "empty.pem"))
