"""Which real directories a sandbox has to be shown so that it finds what it may use, under every name that leads there.

Looks at the file system, changes nothing.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from taskd.runtime.local.confinement.mounts import DEVICES, Tree

_WHOLE = ("/etc", "/proc", "/sys", "/usr")
"""Shown whole, since nobody keeps a secret's name or a socket there; what can be opened in them is said elsewhere."""
_DEVICE_LINKS = [("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0")]
_DEVICE_LINKS += [("/dev/stdout", "/proc/self/fd/1"), ("/dev/stderr", "/proc/self/fd/2")]
_LINKS_MAX = 40
"""As many as the kernel follows."""


def tree_of(readable: Iterable[str], writable: Iterable[str], tmp_mib: int) -> Tree:
    """What has to be shown of this machine's files."""
    links: dict[str, str] = dict(_DEVICE_LINKS)
    shown = {"/proc", *DEVICES, *(_shown(real_path(path, links)) for path in readable)}
    changed = {real_path(path, links) for path in writable}
    return Tree(shown=outermost(shown), writable=outermost(changed), links=list(links.items()), tmp_mib=tmp_mib)


def real_path(path: str, links: dict[str, str]) -> str:
    """Where the absolute ``path`` leads; adds each symbolic link on the way to ``links``, with what it says."""
    rest, real = list(reversed(PurePosixPath(path).parts[1:])), "/"
    followed = 0
    while rest:
        name = rest.pop()
        here = os.path.dirname(real) if name == ".." else os.path.join(real, name)  # noqa: PTH118, PTH120
        if followed < _LINKS_MAX and os.path.islink(here):  # noqa: PTH114
            followed += 1
            links[here] = target = os.readlink(here)  # noqa: PTH115
            real = "/" if target.startswith("/") else real
            rest.extend(reversed([part for part in target.split("/") if part not in ("", ".")]))
        else:
            real = here
    return real


def _shown(path: str) -> str:
    return next((whole for whole in _WHOLE if is_beneath(path, whole)), path)


def is_beneath(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or lies in it."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def outermost(paths: Iterable[str]) -> list[str]:
    """Those of the paths that lie in no other."""
    return list(_outermost(sorted(paths, key=lambda path: path.split("/"))))


def _outermost(paths: list[str]) -> Iterator[str]:
    last: str | None = None
    for path in paths:  # what lies in one of them comes right after it
        if last is None or not is_beneath(path, last):
            last = path
            yield path
