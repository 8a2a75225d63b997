"""What the options of a listing mean in RQL, and how they get through a URL."""

import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from taskd.cli.filters import encode_rql, encode_value, task_query


def test_tasks_come_newest_first() -> None:
    assert task_query(None, None, None) == "sort(-id)"


def test_all_conditions_hold_at_once() -> None:
    query = task_query("gt(priority,5)", "failed", "hello")
    conditions = "gt(priority,5)&eq(status,string:failed)&eq(functionName,string:hello)"
    assert query == f"{conditions}&sort(-id)"


def test_an_order_of_the_users_own_is_the_only_one() -> None:
    assert task_query("sort(priority)", None, None) == "sort(priority)"


def test_a_query_typed_plainly_gets_through_a_url() -> None:
    assert encode_rql('eq(data.name,"é x")') == "eq(data.name,%22%C3%A9%20x%22)"


def test_what_is_percent_encoded_already_stays() -> None:
    assert encode_rql("eq(a,50%25)&eq(b,50%)") == "eq(a,50%25)&eq(b,50%25)"


def test_a_plus_sign_stays_a_plus_sign() -> None:
    assert unquote(encode_rql("sort(+priority)")) == "sort(+priority)"


@given(st.text())
def test_a_value_survives_two_decodings_and_holds_no_syntax(text: str) -> None:
    encoded = encode_value(text)
    assert re.fullmatch(r"string:[A-Za-z0-9_.~%-]*", encoded)
    assert unquote(unquote(encoded.removeprefix("string:"))) == text


@given(st.text())
def test_any_query_fits_a_request_line(text: str) -> None:
    assert re.fullmatch(r"[!-~]*", encode_rql(text))
