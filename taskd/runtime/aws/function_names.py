"""The names that functions have at AWS, and the log groups that go with them."""

from collections.abc import Iterable


class FunctionNames:
    """From what a task names as its function to what Lambda knows it as.

    Functions deployed through this service have a prefix there. Everything else (functions deployed with other
    tools, ARNs) is named as it is.
    """

    def __init__(self, prefix: str | None) -> None:
        self._prefix = prefix or ""
        self._known: set[str] = set()

    def deployed(self, name: str) -> str:
        """The name at AWS of a function that is deployed through this service."""
        return self._prefix + name

    def know(self, names: Iterable[str]) -> None:
        """These functions were deployed through this service."""
        self._known.update(names)

    def know_only(self, names: Iterable[str]) -> None:
        """These functions, and no others, were deployed through this service."""
        self._known = set(names)

    def forget(self, name: str) -> None:
        """The function is no longer one of this service."""
        self._known.discard(name)

    def of(self, reference: str) -> str:
        """``reference`` is a bare name or an ARN, each with or without a qualifier."""
        if reference in self._known:
            return self._prefix + reference
        name, colon, qualifier = reference.partition(":")
        is_qualified_name = colon and ":" not in qualifier
        return self._prefix + reference if is_qualified_name and name in self._known else reference


def log_group(function_name: str) -> str:
    """Where Lambda writes the log of ``function_name`` (a name at AWS, or an ARN), unless it was told otherwise."""
    parts = function_name.split(":")
    name = parts[parts.index("function", 1) + 1] if "function" in parts[1:-1] else parts[0]
    return f"/aws/lambda/{name}"
