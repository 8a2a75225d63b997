"""Function code for tests: zips made of texts, and functions to deploy them as."""

import io
import textwrap
import zipfile
from typing import Any

from taskd.model.function import Function


def zip_of(files: dict[str, str], *, mode: int = 0o644) -> bytes:
    """A zip of ``files``, name to (indented) text, all with the same permissions."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(unix_entry(name, 0o100000 | mode), textwrap.dedent(text))
    return buffer.getvalue()


def unix_entry(name: str, mode: int) -> zipfile.ZipInfo:
    """An entry as Unix zip programs write it; ``mode`` includes the file type."""
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def python_zip(source: str) -> bytes:
    """An ``index.py``."""
    return zip_of({"index.py": source})


def node_zip(source: str) -> bytes:
    """An ``index.js``."""
    return zip_of({"index.js": source})


def function(name: str = "probe", runtime: str = "python3.12", **fields: Any) -> Function:
    """A function with the entry point ``index.handler`` that is not deployed yet."""
    defaults = {"entry_point": "index.handler", "update_ms": 0, "code_version": "", "time_limit_s": 10}
    return Function(name=name, runtime=runtime, **{**defaults, **fields})
