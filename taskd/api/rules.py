"""Rules that bodies of several kinds share. Each gives the checked value, or raises, naming the field."""

from taskd.model import errors, limits
from taskd.model.errors import ContractError


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


def priority(name: str, value: float | None, default: int) -> int:
    """``value`` as a priority."""
    return whole_number(name, value, -limits.PRIORITY_MAX, limits.PRIORITY_MAX, default)
