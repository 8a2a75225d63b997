"""The commands in the first lines of the unit, which say how to install, upgrade and remove the service."""

import re

_INDENT = "#   "


def commands(unit: str, purpose: str) -> list[str]:
    """Those below the line ``# … To <purpose> it, …`` in the text of a unit; without such lines, all are to install."""
    found, current = [], "install"
    for line in unit.partition("[Unit]")[0].splitlines():
        if line.startswith(_INDENT):
            found += [line.removeprefix(_INDENT)] if current == purpose else []
        elif heading := re.search(r"\bTo (\w+) it\b", line):
            current = heading[1]
    return found
