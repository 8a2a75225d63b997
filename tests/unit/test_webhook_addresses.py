"""Where deliveries may go, and which URLs lead there."""

import pytest

from taskd.webhooks.addresses import AllowedAddresses
from taskd.webhooks.urls import problem_with

GLOBAL = ("8.8.8.8", "1.1.1.1", "192.0.1.1", "2606:4700::1111", "2001:4860:4860::8888", "64:ff9b::808:808")
NOT_GLOBAL = (
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.8.9.1", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "100::1", "5f00::1"),
    *("2001:db8::1", "3fff::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1"),
    *("2002:7f00:1::1", "2002:808:808::1", "64:ff9b:1::1", "fec0::1", "4000::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::a00:1"),
    *("", "localhost", "1.2.3", "8.8.8.8.8"),
)


@pytest.mark.parametrize("address", GLOBAL)
def test_what_is_globally_routable_is_allowed(address: str) -> None:
    assert AllowedAddresses().include(address)


@pytest.mark.parametrize("address", NOT_GLOBAL)
def test_nothing_else_is_allowed(address: str) -> None:
    assert not AllowedAddresses().include(address)


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("10.0.0.0/8", "10.200.0.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1"),
        ("10.0.0.0/8", "64:ff9b::a00:1"),
        ("fd00::/8", "fd12::1"),
        ("::1", "::1"),
    ],
)
def test_what_the_operator_has_named_is_allowed_too(network: str, address: str) -> None:
    allowed = AllowedAddresses([network])
    assert allowed.include(address)
    assert not allowed.include("192.168.1.1")
    assert not allowed.include("127.0.0.2")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/a/b?c=d&e=%20f",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://b\u00fccher.example/hook",
        "HTTPS://EXAMPLE.COM/",
        "https://example.com/" + "x" * 2_000,
    ],
)
def test_a_url_that_can_be_used(url: str) -> None:
    assert problem_with(url, AllowedAddresses()) is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "ftp://example.com", "https://", "https:///a", "file:///etc/passwd", "https:example.com"),
        *("https://user@example.com", "https://user:secret@example.com", "https://@example.com", "https://a/#b"),
        *("https://example.com#", "https://example.com:0/", "https://example.com:70000/", "https://example.com:x/"),
        *("https://example.com/a b", "https://example.com/\n", "https://exa\tmple.com", "https://example.com\\@a/"),
        *("https://[::1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "http://10.0.0.1"),
        "https://example.com/" + "x" * 2_100,
    ],
)
def test_a_url_that_cannot_be_used(url: str) -> None:
    assert problem_with(url, AllowedAddresses()) is not None


def test_an_address_of_a_named_network_may_stand_in_a_url() -> None:
    assert problem_with("http://127.0.0.1:8080/", AllowedAddresses(["127.0.0.0/8"])) is None
