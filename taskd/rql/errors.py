"""The one error of the query language."""

from taskd.model.errors import INVALID_RQL, ContractError


class RqlError(ContractError):
    """The query cannot be understood, or compares a field with a value it cannot have.

    ``position`` counts the characters of the query before the place that the error is about.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(INVALID_RQL, f"{message} (at position {position} of the query)")
        self.position = position
