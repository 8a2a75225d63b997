"""What numbers count as where documents hold more than databases do: the same on every way to an answer."""

import json
import math
from contextlib import closing
from typing import Any

import pytest
from support.store.catalogues import MemoryCatalogue

from taskd.model.status import Status
from taskd.model.task import Task
from taskd.rql.evaluate import matches
from taskd.rql.parser import parse
from taskd.rql.query import Compare
from taskd.rql.scalars import comparable, parse_integer


@pytest.mark.parametrize(
    ("number", "counts_as"),
    [
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, 2.0**63),
        (-(2**63) - 1, -(2.0**63)),
        (2**64, 2.0**64),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        (True, True),
        ("9" * 30, "9" * 30),
    ],
    ids=range(9),
)
def test_an_integer_past_64_bits_counts_as_the_nearest_double(number: Any, counts_as: Any) -> None:
    assert comparable(number) == counts_as
    assert type(comparable(number)) is type(counts_as)
    if type(number) is int:
        assert comparable(parse_integer(str(number))) == counts_as


EXACT = 2**53 + 1
"""No double is this number."""


@pytest.mark.parametrize("rest", ['"x": 1', r'"x": "\ud800"', '"x": 1e400', r'"\u006d": 1'])
@pytest.mark.parametrize("field", ["n", "list.n"])
def test_integers_stay_exact_whatever_else_a_document_holds(rest: str, field: str) -> None:
    document = f'{{{rest}, "n": {EXACT}, "list": [{{"n": {EXACT}}}]}}'
    with closing(MemoryCatalogue()) as catalogue:
        catalogue.fill([Task(f"{1:024x}", 1, "f", document.encode(), 0, 0, 0, Status.NEW, 0)])
        for number, expected in ((EXACT, 1), (EXACT - 1, 0)):
            assert catalogue.page(parse(f"data.{field}=number:{number}")).total == expected
            where = Compare("eq", tuple(field.split(".")), number, 0)
            assert matches(where, [json.loads(document)]) == bool(expected)
