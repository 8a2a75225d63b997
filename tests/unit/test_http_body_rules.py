"""The rules of fields in words: every decoder of bodies has one for each field, for whoever sends a wrong one."""

import importlib
import pkgutil
from typing import Any

import pytest

from taskd.api import validation
from taskd.api.validation.body_decoder import BodyDecoder
from taskd.api.validation.dispatcher_body import decode_dispatcher
from taskd.api.validation.event_body import decode_subscription
from taskd.model import errors
from taskd.model.errors import ContractError

SERVICE = '"service":{"name":"s","version":{"major":1,"minor":0,"patch":0}}'
MODULES = [module.name for module in pkgutil.iter_modules(validation.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_every_field_has_its_rule_in_words(module: str) -> None:
    found = vars(importlib.import_module(f"{validation.__name__}.{module}")).items()
    rules = {
        (name, field): rule
        for name, decoder in found
        if isinstance(decoder, BodyDecoder)
        for field, rule in decoder._rules.items()
    }
    assert [field for field, rule in rules.items() if not rule] == []


@pytest.mark.parametrize(
    ("decode", "body", "rule"),
    [
        (decode_dispatcher, '{"eventType":"a","actions":[{"type":"foo"}]}', "actions must be an array of at most 20 "),
        (decode_subscription, f'{{{SERVICE},"event_types":"x"}}', "event_types must be an array of at most "),
    ],
)
def test_a_list_with_a_limit_of_its_own_is_told_its_rule(decode: BodyDecoder[Any], body: str, rule: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode(body.encode())
    assert caught.value.kind is errors.FIELD_FORMAT
    assert str(caught.value).startswith(rule)
