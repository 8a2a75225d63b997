"""What holds abuse off: passwords that cost, throttled guessing, and replays remembered in bounded memory."""

import asyncio
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.auth.accounts import CHEAP
from support.clocks import FakeClock

from taskd.auth import passwords
from taskd.auth.login_throttle import PER_ACCOUNT, PER_ADDRESS, PER_PAIR, LoginThrottle, RateLimit, RateLimiter
from taskd.auth.nonces import WINDOW_S, Nonces
from taskd.auth.passwords import Cost, PasswordChecker, hash_password, is_hash, matches
from taskd.model import errors
from taskd.model.errors import ContractError


@given(st.text(st.characters(exclude_characters="\0"), max_size=50), st.text(max_size=50))
@settings(max_examples=30)
def test_only_the_password_itself_matches_its_hash(password: str, other: str) -> None:
    stored = hash_password(password, CHEAP)
    assert is_hash(stored)
    assert matches(password, stored)
    same = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", password)
    assert matches(other, stored) == same


@given(st.text(st.characters(exclude_characters="\0"), max_size=80), st.integers(1, 80))
@settings(max_examples=30)
def test_zero_bytes_at_its_end_make_another_password(password: str, zeros: int) -> None:
    stored = hash_password(password, CHEAP)
    assert not matches(password + "\0" * zeros, stored)
    with pytest.raises(ValueError, match="zero byte"):
        hash_password(password + "\0" * zeros, CHEAP)


def test_a_character_is_the_same_however_it_is_composed() -> None:
    assert matches("caf\u00e9", hash_password("cafe\u0301", CHEAP))


def test_two_hashes_of_one_password_differ() -> None:
    assert hash_password("same", CHEAP) != hash_password("same", CHEAP)


def test_a_hash_made_today_costs_memory_and_time() -> None:
    assert Cost(log_n=15, block_size=8, parallelization=3) == passwords.DEFAULT_COST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "scrypt$15$8$3$AAAA$AAAA",
        "scrypt$30$8$1$" + "A" * 24 + "$" + "A" * 43 + "=",
        "scrypt$0$8$1$" + "A" * 24 + "$" + "A" * 43 + "=",
        "scrypt$15$8$1$====$" + "A" * 43 + "=",
    ],
)
def test_what_is_no_hash_of_ours_matches_nothing(text: str) -> None:
    assert not is_hash(text)
    assert not matches("plain", text)


async def test_passwords_are_checked_off_the_loop_and_refused_past_the_limit() -> None:
    checker = PasswordChecker()
    stored = hash_password("right", CHEAP)
    assert await checker.check("right", stored)
    assert not await checker.check("wrong", stored)
    checks = [asyncio.create_task(checker.check("right", stored)) for _ in range(200)]
    results = await asyncio.gather(*checks, return_exceptions=True)
    checker.close()
    refused = [result for result in results if isinstance(result, ContractError)]
    assert {error.kind for error in refused} == {errors.TOO_MANY_REQUESTS}
    assert all(result is True for result in results if not isinstance(result, ContractError))


async def test_without_a_user_no_password_matches() -> None:
    checker = PasswordChecker()
    assert not await checker.check("", None)
    checker.close()


def guess(throttle: LoginThrottle, account: str, address: str) -> ContractError | None:
    try:
        throttle.admit(account, address)
    except ContractError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("limit", "addresses"),
    [(PER_PAIR, ["10.0.0.1"]), (PER_ACCOUNT, [f"10.0.0.{number}" for number in range(PER_ACCOUNT.burst + 1)])],
    ids=["from one address", "from many addresses"],
)
def test_guessing_one_account_is_slowed_down_and_says_for_how_long(limit: RateLimit, addresses: list[str]) -> None:
    clock = FakeClock()
    throttle = LoginThrottle(clock)
    for number in range(limit.burst):
        assert guess(throttle, "ada", addresses[number % len(addresses)]) is None
    refusal = guess(throttle, "ada", addresses[-1])
    assert refusal is not None
    assert refusal.kind is errors.TOO_MANY_REQUESTS
    assert refusal.extra["retryAfter"] == limit.interval_ms // 1000
    assert guess(throttle, "bob", addresses[-1]) is None
    clock.advance(limit.interval_ms)
    assert guess(throttle, "ada", addresses[-1]) is None
    assert guess(throttle, "ada", addresses[-1]) is not None


def test_no_address_alone_locks_a_user_out_elsewhere_however_long_it_guesses() -> None:
    clock = FakeClock()
    throttle = LoginThrottle(clock)
    for _ in range(1000):
        guess(throttle, "ada", "10.0.0.1")
        clock.advance(PER_PAIR.interval_ms // 2)
    assert guess(throttle, "ada", "10.0.0.2") is None


def test_no_crowd_locks_a_user_out_where_they_have_logged_in_before() -> None:
    throttle = LoginThrottle(FakeClock())
    throttle.admit("ada", "192.0.2.1")
    throttle.succeeded("ada", "192.0.2.1")
    guesses = [guess(throttle, "ada", f"10.0.{number // 250}.{number % 250}") for number in range(500)]
    assert guesses.count(None) == PER_ACCOUNT.burst
    assert guess(throttle, "ada", "192.0.2.1") is None
    assert guess(throttle, "ada", "192.0.2.2") is not None


def test_guessing_many_accounts_from_one_address_is_slowed_down() -> None:
    throttle = LoginThrottle(FakeClock())
    for number in range(PER_ADDRESS.burst):
        assert guess(throttle, f"user{number}", "10.0.0.1") is None
    assert guess(throttle, "another", "10.0.0.1") is not None
    assert guess(throttle, "another", "10.0.0.2") is None


def test_addresses_of_one_ipv6_network_are_one_guesser() -> None:
    throttle = LoginThrottle(FakeClock())
    for number in range(PER_ADDRESS.burst):
        assert guess(throttle, f"user{number}", f"2001:db8::{number:x}") is None
    assert guess(throttle, "another", "2001:db8::ffff:1") is not None
    assert guess(throttle, "another", "2001:db8:0:1::1") is None


def test_ipv4_clients_of_a_socket_for_both_are_told_apart() -> None:
    throttle = LoginThrottle(FakeClock())
    for number in range(PER_ADDRESS.burst):
        assert guess(throttle, f"user{number}", "::ffff:10.0.0.1") is None
    assert guess(throttle, "another", "::ffff:10.0.0.1") is not None
    assert guess(throttle, "another", "::ffff:10.0.0.2") is None
    assert guess(throttle, "another", "fe80::1%eth0") is None


def test_right_logins_are_never_slowed_down() -> None:
    throttle = LoginThrottle(FakeClock())
    for _ in range(1000):
        throttle.admit("ada", "10.0.0.1")
        throttle.succeeded("ada", "10.0.0.1")


@given(st.lists(st.integers(0, 10_000), max_size=300))
def test_however_many_keys_attempt_the_memory_is_bounded(keys: list[int]) -> None:
    limiter = RateLimiter(RateLimit(burst=3, interval_ms=1000), FakeClock(), keys_max=20)
    for key in keys:
        limiter.take(str(key))
        assert len(limiter) <= 20


def replayed(nonces: Nonces, timestamp_s: int, *parts: str) -> bool:
    try:
        nonces.remember(timestamp_s, *parts)
    except ContractError as error:
        return error.kind is errors.REPLAYED
    return False


def test_a_nonce_is_good_once_for_each_client_token_and_second() -> None:
    clock = FakeClock()
    nonces, now_s = Nonces(clock), clock() // 1000
    assert not replayed(nonces, now_s, "key", "token", "nonce")
    assert replayed(nonces, now_s, "key", "token", "nonce")
    assert not replayed(nonces, now_s + 1, "key", "token", "nonce")
    assert not replayed(nonces, now_s, "other", "token", "nonce")
    assert not replayed(nonces, now_s, "key", "other", "nonce")


def test_requests_are_forgotten_only_when_their_timestamp_is_refused() -> None:
    clock = FakeClock()
    nonces, then_s = Nonces(clock), clock() // 1000
    nonces.remember(then_s, "nonce")
    clock.advance(WINDOW_S * 1000)
    nonces.check_timestamp(then_s)
    assert replayed(nonces, then_s, "nonce")
    clock.advance(1000)
    with pytest.raises(ContractError):
        nonces.check_timestamp(then_s)
    nonces.remember(clock() // 1000, "another")
    assert len(nonces) == 1


def test_a_full_memory_refuses_rather_than_forgets() -> None:
    clock = FakeClock()
    nonces, now_s = Nonces(clock, remembered_max=2), clock() // 1000
    nonces.remember(now_s, "1")
    nonces.remember(now_s, "2")
    with pytest.raises(ContractError) as caught:
        nonces.remember(now_s, "3")
    assert caught.value.kind is errors.TOO_MANY_REQUESTS
    assert replayed(nonces, now_s, "1")
    clock.advance((WINDOW_S + 1) * 1000)
    nonces.remember(clock() // 1000, "3")
