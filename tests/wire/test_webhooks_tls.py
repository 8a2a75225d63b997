"""Deliveries over TLS: the certificate must be the host's, whatever address was looked up for it."""

import datetime
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.http.receiver import receiving

from taskd.webhooks.addresses import AllowedAddresses
from taskd.webhooks.resolver import Found
from taskd.webhooks.sender import Answer, Sender

HOST = "receiver.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for the host, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def sent(certificate: Path, host: str, *, trusted: bool) -> tuple[Answer, list[str | None]]:
    """What a receiver answers that has the certificate, and the names that were asked of it."""
    names: list[str | None] = []

    async def lookup(_: str, port: int) -> Found:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.sni_callback = lambda _, name, __: names.append(name)
    client = ssl.create_default_context(cafile=str(certificate)) if trusted else None
    sender = Sender(AllowedAddresses(["127.0.0.1"]), lookup=lookup, tls=client)
    async with receiving(ssl_context=tls) as receiver:
        sender.start()
        try:
            return await sender.send(f"https://{host}:{receiver.port}/", {}, b"{}"), names
        finally:
            await sender.close()


async def test_the_name_of_the_url_is_asked_for_and_checked(certificate: Path) -> None:
    assert await sent(certificate, HOST, trusted=True) == (Answer(204, None), [HOST])


@pytest.mark.parametrize(("host", "trusted"), [("other.example", True), (HOST, False)])
async def test_a_certificate_of_another_name_or_of_nobody_is_a_failure(
    certificate: Path, host: str, *, trusted: bool
) -> None:
    answer, _ = await sent(certificate, host, trusted=trusted)
    assert answer.status_code is None
    assert (answer.error or "").startswith("No connection could be made: ")
    assert "certificate" in (answer.error or "")
