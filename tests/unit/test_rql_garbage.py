"""Hostile query text: whatever comes in, it is a query or the one error, and soon."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.model.limits import RQL_MAX_BYTES
from taskd.rql.errors import RqlError
from taskd.rql.mongo_filter import filter_json
from taskd.rql.parser import parse
from taskd.rql.query import Query

PIECES = [
    *(
        "(",
        ")",
        ",",
        "&",
        "|",
        "=",
        "!=",
        "<",
        ">",
        ">=",
        "%3C",
        "%7C",
        "'",
        "%27",
        "%",
        "%25",
        "%2",
        "%ff",
        "%00",
        "\\",
    ),
    *("eq", "ne", "in", "out", "like", "and", "or", "contains", "excludes", "limit", "sort", "select", "skipCount"),
    *("a", "data.x", "tags.0", ".", "..", "/", ":", "string:", "number:", "re:", "RE:(a+)+$", "glob:*", "date:", "*"),
    *(
        "1",
        "-1.5",
        "1e999",
        "true",
        "null",
        "9" * 30,
        "2026-01-01T00:00:00Z",
        "é",
        "😀",
        "\x00",
        "\ud800",
        " ",
        "+",
        "-",
    ),
]
SOUND = [
    "and(eq(status,failed),gt(creationTimestamp,2026-01-01T00:00:00.000Z))&sort(-creationTimestamp)&limit(50,100)",
    "contains(data.items,and(gt(n,3),eq(name,%25C3%25A9%2529)))&select(id,data.x)",
    "(a=1|b!='x')&in(tags,(a,b))&c=like=re:^a%5B0-9%5D{2,3}",
]


def parses_or_refuses(text: str) -> None:
    result: Query | RqlError
    try:
        result = parse(text)
    except RqlError as error:
        result = error
    if isinstance(result, Query):
        assert filter_json(result).startswith("{")
    else:
        assert 0 <= result.position <= max(len(text), RQL_MAX_BYTES)


def mutated(text: str, dice: random.Random) -> str:
    for _ in range(dice.randrange(1, 4)):
        begin = dice.randrange(len(text) + 1)
        text = text[:begin] + dice.choice([*PIECES, ""]) + text[begin + dice.randrange(4) :]
    return text


def test_random_and_mutated_texts_are_parsed_or_refused() -> None:
    dice = random.Random(19)
    for _ in range(5_000):
        parses_or_refuses("".join(dice.choices(PIECES, k=dice.randrange(1, 25))))
        parses_or_refuses(mutated(dice.choice(SOUND), dice))


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    parses_or_refuses(text)


@pytest.mark.parametrize(
    "piece", [*PIECES, "'a,", "a='", "(a=1&", "in(a,'x,", "=a=", "a=1&", "a.", "%2527", "\\'", "a=re:a{9}"]
)
def test_time_does_not_run_away_on_long_texts(piece: str) -> None:
    text = piece * (RQL_MAX_BYTES // len(piece.encode(errors="surrogatepass")))
    begin_s = time.process_time()
    for form in (text, f"in(a,{text[:-10]})", f"a={text[:-3]}", f"a='{text[:-4]}"):
        parses_or_refuses(form)
    assert time.process_time() - begin_s < 2
