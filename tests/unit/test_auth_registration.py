"""Who may register: an address that was just looked up, once, and no longer when two try."""

import pytest
from support.clocks import FakeClock

from taskd.auth.registration import OPEN_MS, Registrations
from taskd.auth.settings import Registration
from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.model.limits import EMAIL_LOOKUPS_MAX

EMAIL, BY, HOME = "new@example.com", "ada", "192.0.2.1"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registrations(clock: FakeClock) -> Registrations:
    return Registrations("credentials", clock)


def assert_refused(registrations: Registrations, email: str = EMAIL) -> None:
    with pytest.raises(ContractError) as caught:
        registrations.attempt(email, "9", HOME)
    assert caught.value.kind == errors.NO_PERMISSION


def test_an_address_that_nobody_has_looked_up_is_refused(registrations: Registrations) -> None:
    assert_refused(registrations)
    registrations.looked_up(EMAIL, BY)
    assert_refused(registrations, "other@example.com")


def test_an_address_that_was_looked_up_is_taken_for_ten_seconds(registrations: Registrations, clock: FakeClock) -> None:
    registrations.looked_up(EMAIL, BY)
    clock.now_ms += OPEN_MS - 1
    assert registrations.attempt(EMAIL, "1", HOME).by == BY
    registrations.looked_up("late@example.com", BY)
    clock.now_ms += OPEN_MS
    assert_refused(registrations, "late@example.com")


def test_a_second_attempt_voids_both_and_a_third_is_refused(registrations: Registrations) -> None:
    registrations.looked_up(EMAIL, BY)
    first = registrations.attempt(EMAIL, "1", HOME)
    second = registrations.attempt(EMAIL, "2", HOME)
    assert second is first
    assert (second.user_id, second.is_void) == ("1", True)
    assert_refused(registrations)


def test_looking_up_again_while_a_user_is_being_made_does_not_open_the_address_anew(
    registrations: Registrations,
) -> None:
    registrations.looked_up(EMAIL, BY)
    registrations.attempt(EMAIL, "1", HOME)
    registrations.looked_up(EMAIL, BY)
    assert registrations.attempt(EMAIL, "2", HOME).is_void


def test_looking_up_again_leaves_no_address_open_past_its_ten_seconds(
    registrations: Registrations, clock: FakeClock
) -> None:
    registrations.looked_up(EMAIL, BY)
    made = registrations.attempt(EMAIL, "1", HOME)
    clock.now_ms += OPEN_MS // 2
    registrations.looked_up("other@example.com", BY)
    registrations.looked_up(EMAIL, BY)  # now the last in line, though it closes first
    clock.now_ms += OPEN_MS // 2
    assert_refused(registrations)
    assert not made.is_void


def test_after_a_void_registration_the_address_can_be_looked_up_again(registrations: Registrations) -> None:
    registrations.looked_up(EMAIL, BY)
    registrations.attempt(EMAIL, "1", HOME)
    registrations.attempt(EMAIL, "2", HOME)
    registrations.looked_up(EMAIL, BY)
    assert registrations.attempt(EMAIL, "3", HOME).user_id == "3"


def test_of_very_many_addresses_the_oldest_close(registrations: Registrations) -> None:
    for number in range(EMAIL_LOOKUPS_MAX + 1):
        registrations.looked_up(f"{number}@example.com", BY)
    assert_refused(registrations, "0@example.com")
    assert registrations.attempt("1@example.com", "1", HOME).user_id == "1"


@pytest.mark.parametrize("mode", ["off"])
def test_where_it_is_off_looking_up_opens_nothing(mode: Registration, clock: FakeClock) -> None:
    registrations = Registrations(mode, clock)
    registrations.looked_up(EMAIL, BY)
    assert_refused(registrations)


def test_where_it_is_open_everybody_may_but_not_without_end(clock: FakeClock) -> None:
    registrations = Registrations("open", clock)
    for number in range(10):
        registrations.attempt(f"{number}@example.com", str(number), HOME)
    with pytest.raises(ContractError) as caught:
        registrations.attempt(EMAIL, "10", HOME)
    assert caught.value.kind == errors.TOO_MANY_REQUESTS
    assert registrations.attempt(EMAIL, "10", "203.0.113.9").user_id == "10"
