"""The decoder of request bodies, which says what is wrong with one, and the rules that fields of several have.

A body is a struct, and its fields have a type, a length and, as the description of their ``Meta``, their rule in words.
``None`` stands for a field that is absent or null: to a client the two are the same.
"""

from typing import Any, Generic, TypeVar

import msgspec
import orjson
from msgspec import Raw, Struct

from taskd.model import errors, limits
from taskd.model.errors import ContractError

S = TypeVar("S", bound=Struct)

Number = int | float
"""JSON does not tell ``1`` from ``1.0``, so a whole number is checked for where it is used."""


class BodyDecoder(Generic[S]):
    """Decodes bodies of one shape. Unknown fields are ignored; of a repeated field the last one counts.

    Every field has its rule in words, which completes the sentence "name must be ..."; JSON kept as text needs none.
    """

    def __init__(self, shape: type[S]) -> None:
        self._decoder = msgspec.json.Decoder(shape)
        self._fields = msgspec.structs.fields(shape)
        self._rules = {field.encode_name: _rule(field.type) for field in self._fields if field.type is not Raw}

    def __call__(self, body: bytes) -> S:
        """``body`` as a struct.

        :raises ContractError: ``BODY_FORMAT``, ``MISSING_FIELDS`` or ``FIELD_FORMAT``, naming what is wrong.
        """
        try:
            return self._decoder.decode(body)
        except RecursionError:
            depth_max = limits.TASK_DATA_MAX_DEPTH
            message = f"No field, data included, may nest more than {depth_max} arrays and objects."
            raise ContractError(errors.FIELD_FORMAT, message) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._explain(body, error) from None

    def _explain(self, body: bytes, error: Exception) -> ContractError:
        """Looks again, slowly, at a body that did not decode, for what to tell the client."""
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError as reason:
            return ContractError(errors.BODY_FORMAT, f"The body is not JSON: {reason}.")
        if not isinstance(values, dict):
            return ContractError(errors.BODY_FORMAT, "The body is JSON, but not an object.")
        if missing := self.missing(values):
            return missing_fields(missing)
        return self._wrong_field(values) or ContractError(errors.BODY_FORMAT, f"The body cannot be read: {error}.")

    def missing(self, values: dict[str, Any]) -> list[str]:
        """The names of fields that are required and not given."""
        required = [field.encode_name for field in self._fields if field.required]
        return [name for name in required if values.get(name) is None]

    def _wrong_field(self, values: dict[str, Any]) -> ContractError | None:
        for field in self._fields:
            name = field.encode_name
            if name not in self._rules or values.get(name) is None:
                continue
            try:
                msgspec.convert(values[name], field.type)
            except msgspec.ValidationError as error:
                return ContractError(errors.FIELD_FORMAT, f"{name} must be {self._rules[name]}. {error}.")
        return None


def missing_fields(names: list[str]) -> ContractError:
    """The error for required fields that are not given."""
    return ContractError(errors.MISSING_FIELDS, f"Required fields are missing: {', '.join(names)}.")


def field_error(name: str, rule: str) -> ContractError:
    """The error for a field that breaks ``rule``, which completes the sentence "name must ..."."""
    return ContractError(errors.FIELD_FORMAT, f"{name} must {rule}.")


def whole_number(name: str, value: float | None, least: int, most: int, default: int) -> int:
    """``value`` as an int, ``default`` if it is absent; JSON does not tell ``1`` from ``1.0``."""
    if value is None:
        return default
    if not least <= value <= most or value != int(value):
        raise field_error(name, f"be a whole number from {least} to {most}")
    return int(value)


def priority_of(name: str, value: float | None, default: int) -> int:
    """``value`` as a priority."""
    return whole_number(name, value, -limits.PRIORITY_MAX, limits.PRIORITY_MAX, default)


def _rule(annotated: Any) -> str | None:
    """The rule in words: of types inside one another, Python makes one with what stands with each, in that order."""
    return next((meta.description for meta in annotated.__metadata__ if meta.description), None)
