"""Shares of what there is only so much of: nobody alone is held below the limit, and nobody is left without."""

from contextlib import ExitStack
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clocks import FakeClock

from taskd.auth.nonces import WINDOW_S, Nonces
from taskd.execution.slots import ASKED_S, Slots
from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.model.shares import Shares

OWNERS = "abcde"


def fill(shares: Shares[str], owner: str, alone_max: float) -> int:
    """Takes all that ``owner`` may have; gives how much they took."""
    before = shares.total
    while shares.has_room(owner, alone_max):
        shares.take(owner)
    return shares.total - before


@pytest.mark.parametrize("alone_max", [1, 2, 3, 64, 10_000])
def test_one_owner_alone_has_all_that_was_promised(alone_max: int) -> None:
    shares: Shares[str] = Shares()
    assert fill(shares, "a", alone_max) == alone_max
    assert shares.held("a") == shares.total == alone_max


def test_each_next_owner_still_gets_a_quarter_of_what_the_one_before_got() -> None:
    shares: Shares[str] = Shares()
    assert [fill(shares, owner, 1024) for owner in OWNERS] == [1024, 256, 64, 16, 4]


@given(
    st.integers(1, 300), st.lists(st.tuples(st.sampled_from(OWNERS), st.booleans(), st.integers(1, 100)), max_size=60)
)
def test_the_reserve_is_there_whoever_took_and_gave_back_what(
    alone_max: int, steps: list[tuple[str, bool, int]]
) -> None:
    """The invariants after any history, against a count of its own."""
    shares: Shares[str] = Shares()
    held = dict.fromkeys(OWNERS, 0)
    for owner, is_taking, count in steps:
        for _ in range(count):
            if is_taking and shares.has_room(owner, alone_max):
                shares.take(owner)
                held[owner] += 1
        if not is_taking and held[owner]:
            given_back = min(count, held[owner])
            shares.give_back(owner, given_back)
            held[owner] -= given_back
        assert {each: shares.held(each) for each in OWNERS} == held
        assert shares.total == sum(held.values()) < Fraction(4, 3) * alone_max + 1
        assert max(held.values()) <= alone_max


@given(st.integers(2, 5), st.integers(20, 500), st.randoms(use_true_random=False))
def test_where_things_are_given_back_all_come_to_hold_the_same(owners: int, alone_max: int, random: object) -> None:
    """Whoever began with everything: one is given back by whoever holds most, and all want as much as they get."""
    shares: Shares[str] = Shares()
    names = OWNERS[:owners]
    for _ in range(20 * alone_max):
        for name in names:
            if shares.has_room(name, alone_max):
                shares.take(name)
        shares.give_back(max(names, key=shares.held))
    fair = 4 * alone_max / (1 + 3 * owners)
    assert all(fair - 3 <= shares.held(name) <= fair + 3 for name in names)


def test_a_caller_who_calls_alone_has_every_slot() -> None:
    slots = Slots(8, errors.CONCURRENT_EXECUTIONS, "dispatch.max_direct")
    with ExitStack() as calls:
        for _ in range(8):
            calls.enter_context(slots.slot("a"))
        with pytest.raises(ContractError, match=r"dispatch\.max_direct") as caught:
            calls.enter_context(slots.slot("a"))
        assert caught.value.kind is errors.CONCURRENT_EXECUTIONS


def test_whoever_was_refused_gets_in_as_calls_end_and_the_hoarder_does_not() -> None:
    now_s = [0.0]
    slots = Slots(8, errors.CONCURRENT_EXECUTIONS, "s", now_s=lambda: now_s[0])
    with ExitStack() as calls:
        six, two = [ExitStack() for _ in range(2)]
        for stack, count in ((six, 6), (two, 2)):
            calls.push(stack)
            for _ in range(count):
                stack.enter_context(slots.slot("a"))
        with pytest.raises(ContractError, match="as many as may"):
            calls.enter_context(slots.slot("b"))
        two.close()
        with pytest.raises(ContractError, match="others call, too"):
            calls.enter_context(slots.slot("a"))
        calls.enter_context(slots.slot("b"))
        now_s[0] += ASKED_S + 1
        calls.enter_context(slots.slot("a"))  # the other has not asked for a minute


@pytest.mark.parametrize("maximum", [1, 2])
def test_few_slots_are_for_everybody(maximum: int) -> None:
    slots = Slots(maximum, errors.CONCURRENT_EXECUTIONS, "s")
    for owner in "abab":
        with slots.slot(owner):
            pass


def test_a_signer_who_fills_the_nonces_leaves_room_for_others() -> None:
    clock = FakeClock()
    nonces, now_s = Nonces(clock, remembered_max=8), clock() // 1000
    for number in range(8):
        nonces.remember(now_s, str(number), signer="a")
    with pytest.raises(ContractError) as caught:
        nonces.remember(now_s, "more", signer="a")
    assert caught.value.kind is errors.TOO_MANY_REQUESTS
    for number in range(2):
        nonces.remember(now_s, f"other {number}", signer="b")
    assert len(nonces) == 10
    clock.advance((WINDOW_S + 1) * 1000)
    nonces.remember(clock() // 1000, "again", signer="a")
    assert len(nonces) == 1
