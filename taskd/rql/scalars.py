"""How two scalars compare: decided here for every store, whatever its database would say by itself.

- Types never mix. Numbers compare with numbers and texts with texts; booleans and null are only equal to their like.
- Integers of 64 bits (signed) are exact, also when they are compared with doubles. An integer past them counts as the
  nearest double, and any number past the doubles as infinity.
- Texts compare by code points: no language's order, no normalisation.
- A text contains a part whatever the case. Of a part in ASCII only the letters A to Z fold, so that ``k`` is not found
  in the Kelvin sign; otherwise both are folded as Unicode folds them, so that ``SS`` is not found in ``ß`` but ``É``
  in ``é``.
"""

import math
from typing import Any, TypeGuard

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_INT64_DIGITS_MAX = 19


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether it is a number, which a boolean is not."""
    return type(value) is int or type(value) is float


def same_type(left: Any, right: Any) -> bool:
    """Whether the two can compare at all."""
    return type(left) is type(right) or (is_number(left) and is_number(right))


def comparable(value: Any) -> Any:
    """``value``, but an integer past 64 bits as the number that it counts as."""
    if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
        return _nearest_double(value)
    return value


def _nearest_double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def parse_integer(digits: str) -> int | float:
    """What an integer in JSON counts as, however long it is."""
    return int(digits) if len(digits.lstrip("-")) <= _INT64_DIGITS_MAX else float(digits)


def contains_text(text: str, part: str) -> bool:
    """Whether ``part`` occurs in ``text``, whatever the case."""
    if part.isascii():
        return _fold_ascii(part) in _fold_ascii(text)
    return part.casefold() in text.casefold()


def _fold_ascii(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").lower()
