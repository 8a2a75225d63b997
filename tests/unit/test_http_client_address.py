"""Where a request comes from, whoever else claims what."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from taskd.api.http.client_address import ClientAddresses
from taskd.api.settings import ServerSettings

BY_DEFAULT = ServerSettings().trusted_proxies


def address(trusted: tuple[str, ...], peer: str, *lines: str) -> str:
    headers = CIMultiDict(("X-Forwarded-For", line) for line in lines)
    return ClientAddresses(trusted).of(make_mocked_request("POST", "/", headers=headers).clone(remote=peer))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("127.0.0.1", "10.0.0.2, 10.0.0.1", "10.0.0.1"),
        ("127.8.8.8", "10.0.0.1", "10.0.0.1"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:127.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("127.0.0.1", "made up", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.1, made up", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.1,", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("10.0.0.9", "10.0.0.1", "10.0.0.9"),
        ("", "10.0.0.1", ""),
    ],
)
def test_by_default_only_a_proxy_on_this_machine_says_who_is_calling(peer: str, forwarded: str, expected: str) -> None:
    assert address(BY_DEFAULT, peer, forwarded) == expected


def test_of_several_lines_the_last_counts_which_the_proxy_has_added() -> None:
    assert address(BY_DEFAULT, "127.0.0.1", "10.0.0.66", "10.0.0.7, 10.0.0.1") == "10.0.0.1"


def test_proxies_that_are_named_are_believed_and_no_others() -> None:
    trusted = ("10.0.0.0/24", "2001:db8::5")
    assert address(trusted, "10.0.0.9", "192.0.2.1") == "192.0.2.1"
    assert address(trusted, "2001:db8::5", "192.0.2.1") == "192.0.2.1"
    assert address(trusted, "10.0.1.9", "192.0.2.1") == "10.0.1.9"
    assert address(trusted, "127.0.0.1", "192.0.2.1") == "127.0.0.1"
    assert address((), "127.0.0.1", "192.0.2.1") == "127.0.0.1"
