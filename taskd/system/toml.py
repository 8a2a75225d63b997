"""Writing TOML, which the standard library only reads."""

import json
from typing import Any


def toml_literal(value: Any) -> str:
    """``value`` in TOML. JSON's strings, numbers, booleans and arrays are TOML's, but for the DEL character."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_literal(name)} = {toml_literal(item)}" for name, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
