"""Query text to tree: the whole grammar, what values are taken for, and where errors are."""

import pytest
from msgspec.structs import replace

from taskd.model.errors import INVALID_RQL
from taskd.rql.errors import RqlError
from taskd.rql.mongo_filter import filter_json
from taskd.rql.parser import parse, parse_filter
from taskd.rql.query import Compare, Contains, Group, Guessed, Member, Moment, Pattern, Query, SortKey, Value

NEW_YEAR_MS = 1_767_225_600_000


def comparison(text: str) -> Compare:
    where = parse(text).where
    assert isinstance(where, Compare)
    return where


def value_of(text: str) -> Value:
    return comparison(f"eq(f,{text})").value


def test_no_text_is_the_default_page() -> None:
    assert parse("") == Query(where=None, sort=(), limit=20, offset=0, select=(), skip_count=False)


def test_example_with_everything() -> None:
    query = parse(
        "and(eq(status,failed),gt(creationTimestamp,2026-01-01T00:00:00.000Z))"
        "&sort(-creationTimestamp,+priority)&limit(50,100)&select(id,data.x)&skipCount()"
    )
    moment = Moment(NEW_YEAR_MS, "2026-01-01T00:00:00.000Z")
    assert query == Query(
        where=Group(
            "and",
            (Compare("eq", ("status",), "failed", 4), Compare("gt", ("creationTimestamp",), moment, 22)),
        ),
        sort=(SortKey(("creationTimestamp",), descending=True), SortKey(("priority",), descending=False)),
        limit=50,
        offset=100,
        select=(("id",), ("data", "x")),
        skip_count=True,
    )


@pytest.mark.parametrize(
    ("shorthand", "call"),
    [
        ("a=b", "eq(a,b)"),
        ("a==b", "eq(a,b)"),
        ("a!=b", "ne(a,b)"),
        ("a>1", "gt(a,1)"),
        ("a>=1", "ge(a,1)"),
        ("a<1", "lt(a,1)"),
        ("a<=1", "le(a,1)"),
        ("a%3E1", "gt(a,1)"),
        ("a%3e=1", "ge(a,1)"),
        ("a%3C%3D1", "le(a,1)"),
        ("a=gt=1", "gt(a,1)"),
        ("a=like=b", "like(a,b)"),
        ("a=in=(b,c)", "in(a,(b,c))"),
        ("a=out=(b,c)", "out(a,b,c)"),
        ("a=", "eq(a,)"),
        ("a=1&b=2&c=3", "and(eq(a,1),eq(b,2),eq(c,3))"),
        ("a=1|b=2", "or(eq(a,1),eq(b,2))"),
        ("a=1%7Cb=2", "or(eq(a,1),eq(b,2))"),
        ("(a=1|b=2)&c=3", "and(or(a=1,b=2),c=3)"),
        ("and(a=1&b=2)", "and(a=1,b=2)"),
        ("a=1&(b=2&(c=3))", "a=1&b=2&c=3"),
        ("&a=1&&b=2&", "a=1&b=2"),
        ("eq%28a%2Cb%29", "eq(a,b)"),
        ("a%3Db%26c%3Dd", "a=b&c=d"),
        ("contains(tags,x)", "eq(tags,x)"),
        ("excludes(tags,x)", "ne(tags,x)"),
        ("contains(a,b=1,c=2)", "contains(a,and(b=1,c=2))"),
        ("a/b=1", "a.b=1"),
        ("skip_count()", "skipCount()"),
        ("and()", ""),
    ],
)
def test_shorthand_means_the_call(shorthand: str, call: str) -> None:
    assert filter_json(parse(shorthand)) == filter_json(parse(call))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", Guessed(True, "true")),
        ("false", Guessed(False, "false")),
        ("null", None),
        ("1", Guessed(1, "1")),
        ("-1.50", Guessed(-1.5, "-1.50")),
        ("%252D1%252E5", Guessed(-1.5, "-1.5")),
        ("007", "007"),
        ("1e3", "1e3"),
        ("0x10", "0x10"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("undefined", "undefined"),
        ("9007199254740991", Guessed(9007199254740991, "9007199254740991")),
        ("9007199254740993", "9007199254740993"),
        ("2026-01-01T00:00:00Z", Moment(NEW_YEAR_MS, "2026-01-01T00:00:00Z")),
        ("2026-01-01T01:00:00+01:00", Moment(NEW_YEAR_MS, "2026-01-01T01:00:00+01:00")),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ("%27true%27", "true"),
        ("%2527null%2527", "null"),
        ("'a)b,c(d'", "a)b,c(d"),
        ("'it's'", "it's"),
        (r"'it\'s'", "it's"),
        ("'", "'"),
        ("''", ""),
        ("string:1", "1"),
        ("string:", ""),
        ("string%3A1", "1"),
        ("string%253A1", "string:1"),
        ("http%3A//x", "http://x"),
        ("number:1", 1),
        ("number:1e3", 1000.0),
        ("number:9223372036854775807", 2**63 - 1),
        ("number:9223372036854775808", 2.0**63),
        ("boolean:true", True),
        ("boolean:false", False),
        ("date:2026-01-01", Moment(NEW_YEAR_MS, "2026-01-01")),
        ("isodate:2026", Moment(NEW_YEAR_MS, "2026")),
        ("isodate:2026-01-01T00:00", Moment(NEW_YEAR_MS, "2026-01-01T00:00")),
        ("epoch:1767225600000", Moment(NEW_YEAR_MS, "2026-01-01T00:00:00.000Z")),
        ("re:^a.c", Pattern("^a.c", ignore_case=True)),
        ("RE:%2528a%257Cb%2529", Pattern("(a|b)", ignore_case=False)),
        ("glob:a.*?", Pattern(r"^a\.[\s\S]*[\s\S]$", ignore_case=True)),
        ("a=b&c|d", "a=b&c|d"),
        ("50%", "50%"),
        ("100%25", "100%"),
        ("a+b", "a+b"),
        ("a b", "a b"),
        ("%C3%A9", "é"),
        ("%2525ff", "%ff"),
    ],
)
def test_values_are_taken_for(text: str, value: Value) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


# What rqlBuilder of @extrahorizon/javascript-sdk 8.14.1 makes of eq("data.v", value), as it arrives at the server.
BUILDER_VECTORS = [
    ("a)b", "eq(data.v,a%2529b)"),
    ("é", "eq(data.v,%25C3%25A9)"),
    ("50%", "eq(data.v,50%2525)"),
    ("a,b", "eq(data.v,a%252Cb)"),
    ("a b", "eq(data.v,a%2520b)"),
    ("it's", "eq(data.v,it%2527s)"),
    ('"q"', "eq(data.v,%2522q%2522)"),
    ("<x>", "eq(data.v,%253Cx%253E)"),
    ("a/b", "eq(data.v,a%252Fb)"),
    ("😀", "eq(data.v,%25F0%259F%2598%2580)"),
    ("a+b", "eq(data.v,a%252Bb)"),
    ("a&b=c|d", "eq(data.v,a%2526b%253Dc%257Cd)"),
    ("", "eq(data.v,)"),
    ("%20", "eq(data.v,%252520)"),
    ("%252F", "eq(data.v,%2525252F)"),
    ("string:x", "eq(data.v,string%253Ax)"),
    ("a:b", "eq(data.v,a%253Ab)"),
    ("*", "eq(data.v,%252A)"),
    ("x\\y", "eq(data.v,x%255Cy)"),
    ("#?", "eq(data.v,%2523%253F)"),
    ("$1", "eq(data.v,%25241)"),
    ("007", "eq(data.v,007)"),
]


@pytest.mark.parametrize(("value", "text"), BUILDER_VECTORS)
def test_what_the_builder_sends_comes_back(value: str, text: str) -> None:
    assert parse(text).where == Compare("eq", ("data", "v"), value, 0)


def test_times_and_lists_of_the_builder_come_back() -> None:
    moment = comparison("eq(data.v,2026%252D01%252D01T00%253A00%253A00%252E000Z)").value
    assert moment == Moment(NEW_YEAR_MS, "2026-01-01T00:00:00.000Z")
    query = parse("in(data.n,a%252Cb,%2528c%2529)&sort(-creationTimestamp,+priority)&select(id,data.x%20y)&skipCount()")
    assert query.where == Member("in", ("data", "n"), ("a,b", "(c)"), 0)
    assert query.select == (("id",), ("data", "x y"))


def test_conditions_of_the_builder_on_elements_come_back() -> None:
    where = parse("contains(data.items,and(gt(n,3),eq(name,%25C3%25A9%2529)))").where
    assert isinstance(where, Contains)
    assert where.condition == Group(
        "and", (Compare("gt", ("n",), Guessed(3, "3"), 24), Compare("eq", ("name",), "é)", 32))
    )


def test_separator_that_the_builder_loses_when_it_moves_a_limit() -> None:
    assert filter_json(parse("eq(status,new)sort(-id)&limit(5,5)")) == '{"status":"new"}'


def test_names_with_dots_slashes_and_nothing_in_them() -> None:
    assert comparison("data.a%252Eb.c%252Fd.=1").path == ("data", "a.b", "c/d", "")


def test_signs_of_sort_keys_may_be_encoded() -> None:
    keys = (SortKey(("a",), descending=False), SortKey(("b",), descending=True), SortKey(("c",), descending=False))
    assert parse("sort(%2Ba,%2Db,c)").sort == keys


def test_last_of_repeated_directives_counts() -> None:
    query = parse("limit(1,1)&sort(a)&select(a)&limit(2)&sort(b)&select(b)")
    assert (query.limit, query.offset) == (2, 0)
    assert (query.sort, query.select) == ((SortKey(("b",), descending=False),), (("b",),))


def test_large_limit_is_clamped() -> None:
    assert parse("limit(101)").limit == 100


def test_empty_array_of_members() -> None:
    assert parse("in(a,())").where == Member("in", ("a",), (), 0)


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("foo(a)", 0, 'no operator "foo"'),
        ("not(a=1)", 0, 'no operator "not"'),
        ("a=1&eq(b", 8, '"," is expected'),
        ("eq(a)", 4, '"," is expected'),
        ("eq(a,b", 6, '")" is expected'),
        ("eq(a,b,c)", 6, '")" is expected'),
        ("eq(a,b(c))", 6, '")" is expected'),
        ("eq(a,b))", 7, 'without its "("'),
        ("(a=1", 4, '")" is expected'),
        ("a=1)", 3, 'without its "("'),
        ("a", 1, "A condition"),
        ("a&b=1", 1, "A condition"),
        ("=1", 0, "A condition"),
        ("a=1|", 4, "A condition"),
        ("and(a=1,)", 8, "A condition"),
        ("a=1,b=2", 3, '","'),
        ("a=1(b=2)", 3, "expected between conditions"),
        ("a=1|b=2&c=3", 7, "cannot be mixed"),
        ("or(a=1&b=2)", 6, "cannot be mixed"),
        ("or()", 0, "at least one"),
        ("a=foo=1", 1, '"=foo="'),
        ("data.t=YWJj==", 6, "%253D"),
        ("eq(,1)", 3, "field name"),
        ("a=1&.b=2", 4, "field name"),
        ("a=http://x", 2, 'no converter "http"'),
        ("a=number:x", 2, "number:"),
        ("a=number:NaN", 2, "number:"),
        ("a=number:1e999", 2, "number:"),
        ("a=boolean:1", 2, "boolean:"),
        ("a=date:yesterday", 2, "date:"),
        ("a=isodate:2026-13", 2, "isodate:"),
        ("a=epoch:999999999999999", 2, "epoch:"),
        ("a=re:%2528", 2, "pattern"),
        ("like(a,number:1)", 7, "like expects a text"),
        ("a=%ff", 2, "UTF-8"),
        ("limit()", 0, "limit expects"),
        ("limit(1,2,3)", 0, "limit expects"),
        ("limit(0)", 6, "at least 1"),
        ("limit(-1)", 6, "whole number"),
        ("limit(1,-1)", 8, "whole number"),
        ("limit(1.5)", 6, "whole number"),
        ("limit(1,99999999999999999999)", 8, "whole number"),
        ("sort()", 0, "sort expects"),
        ("sort(+)", 6, "field name"),
        ("sort(" + "a," * 16 + "a)", 0, "sort expects"),
        ("select(a,)", 9, "field name"),
        ("skipCount(1)", 0, "nothing between"),
        ("or(a=1,limit(5))", 7, "top of a query"),
        ("and(b=1)&contains(b,limit(5))", 20, "top of a query"),
        ("and(b=1)&(a=1&limit(5))", 14, "top of a query"),
        ("(a=1&limit(5))", 5, "top of a query"),
        ("and(a=1,and(limit(5)))", 12, "top of a query"),
        ("and(a=1,contains(b,limit(5)))", 19, "top of a query"),
        ("or(and(a=1,limit(5)),b=1)", 11, "top of a query"),
        ("contains(a,b=1|c=2)", 14, "cannot be mixed"),
    ],
)
def test_error_says_what_and_where(text: str, position: int, message: str) -> None:
    with pytest.raises(RqlError) as error:
        parse(text)
    assert message in error.value.message
    assert error.value.position == position
    assert f"position {position} " in error.value.message
    assert error.value.kind is INVALID_RQL


@pytest.mark.parametrize("opening", ["(", "and(", "or(b=2,", "contains(b,"])
def test_nesting_is_limited(opening: str) -> None:
    parse(opening * 32 + "a=1" + ")" * 32)
    with pytest.raises(RqlError, match="nested 32 deep"):
        parse(opening * 33 + "a=1" + ")" * 33)


def test_length_is_limited() -> None:
    parse("a=" + "x" * 16_382)
    for text in ("a=" + "x" * 16_383, "a=" + "é" * 8_192):
        with pytest.raises(RqlError, match="16384 bytes"):
            parse(text)


@pytest.mark.parametrize("text", ["a=1", "and(a=1,or(b=2,c=3))", "a=1&(b=2|c=3)", "eq(a,limit)", "data.limit=20"])
def test_a_filter_alone_is_that_of_the_query(text: str) -> None:
    assert parse_filter(text) == parse(text).where


def test_no_text_is_no_filter() -> None:
    assert parse_filter("") is None


@pytest.mark.parametrize(
    ("text", "name", "position"),
    [
        ("a=1&limit(20)", "limit", 4),
        ("limit(20)", "limit", 0),
        ("sort(a)&a=1", "sort", 0),
        ("a=1&select(id)&limit(1)", "select", 4),
        ("a=1&skipCount()", "skipCount", 4),
    ],
)
def test_what_asks_about_a_page_is_refused_in_a_filter_alone(text: str, name: str, position: int) -> None:
    with pytest.raises(RqlError, match=f"so {name} has no place") as error:
        parse_filter(text)
    assert error.value.position == position


@pytest.mark.parametrize(
    "text",
    [
        "and(a=1,b=2,sort(-a),limit(5,10),select(a),skipCount())",
        "and(limit(5,10),skip_count(),a=1,select(a),b=2,sort(-a))",
        "and(or(a=1),limit(5,10),(b=2),sort(-a),select(a),skipCount())",
        "and(a=1,limit(5,10))&b=2&and(sort(-a),select(a),skipCount())",
    ],
)
def test_what_is_asked_about_the_page_may_stand_inside_an_and_at_the_top(text: str) -> None:
    apart = parse("a=1&b=2&sort(-a)&limit(5,10)&select(a)&skipCount()")
    together = parse(text)
    assert replace(together, where=None) == replace(apart, where=None)
    assert [condition.path for condition in together.where.conditions] == [("a",), ("b",)]  # type: ignore[union-attr]
