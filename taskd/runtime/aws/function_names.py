"""The names that functions have at AWS, and the log groups that go with them.

Which functions are deployed is a node's view, replaced whenever the store says that functions have changed; on one node
it is complete by itself, since every deployment is made there.
"""

from collections.abc import Iterable


class FunctionNames:
    """Maps the function name of a task to the name that Lambda has for it.

    Functions deployed through this service have a prefix there. Everything else (functions deployed with other
    tools, ARNs) is named as it is.
    """

    def __init__(self, prefix: str | None) -> None:
        self._prefix = prefix or ""
        self._deployed: set[str] = set()

    def prefixed(self, name: str) -> str:
        """The name at AWS of a function that is deployed through this service."""
        return self._prefix + name

    def add(self, names: Iterable[str]) -> None:
        """These functions were deployed through this service."""
        self._deployed.update(names)

    def replace(self, names: Iterable[str]) -> None:
        """These functions, and no others, were deployed through this service."""
        self._deployed = set(names)

    def remove(self, name: str) -> None:
        """The function is no longer one of this service."""
        self._deployed.discard(name)

    def resolve(self, reference: str) -> str:
        """The name at AWS; ``reference`` is a bare name or an ARN, each with or without a qualifier."""
        if reference in self._deployed:
            return self._prefix + reference
        name, colon, qualifier = reference.partition(":")
        is_qualified_name = colon and ":" not in qualifier
        return self._prefix + reference if is_qualified_name and name in self._deployed else reference


def log_group(function_name: str) -> str:
    """Where Lambda writes the log of ``function_name`` (a name at AWS, or an ARN), unless configured otherwise."""
    parts = function_name.split(":")
    name = parts[parts.index("function", 1) + 1] if "function" in parts[1:-1] else parts[0]
    return f"/aws/lambda/{name}"
