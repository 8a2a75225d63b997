"""How far this machine confines sandboxes, and the rules of each. Decides; :mod:`confine` does it, elsewhere."""

from collections.abc import Iterable
from pathlib import Path

from taskd.model import limits
from taskd.runtime.local.confinement.confine import Rules
from taskd.runtime.local.confinement.means import Means
from taskd.runtime.local.confinement.mounts import Tree
from taskd.runtime.local.confinement.tree import is_beneath, tree_of
from taskd.runtime.local.confinement.visible import system
from taskd.runtime.local.settings import LocalSettings


class Confinement:
    """How sandboxes are confined; ``means`` is ``None`` where they are not. All may read what ``programs`` need."""

    def __init__(self, settings: LocalSettings, means: Means | None, programs: Iterable[str]) -> None:
        self._settings = settings
        self._means = means
        self._readable = sorted({*system(), *programs, *settings.readable})
        self._tree = tree_of(self._readable, settings.writable, settings.scratch_mib)

    @property
    def description(self) -> str:
        """One line that says how."""
        return "off" if self._means is None else self._means.describe()

    @property
    def has_own_tmp(self) -> bool:
        """Whether sandboxes need no directory of their own."""
        return self._means is not None and self._means.own_mounts

    def rules(self, scratch: str, code: str, api_port: int) -> Rules | None:
        """Of a sandbox with a directory of its own that runs ``code`` and is spoken to on a port of this machine."""
        if self._means is None:
            return None
        return Rules(
            scratch=scratch,
            readable=[*self._readable, code],
            writable=list(self._settings.writable),
            tree=self._tree_with(code) if self._means.own_mounts else None,
            own_processes=self._means.own_processes,
            landlock_abi=self._means.landlock_abi,
            listen_ports=[0, *self._settings.listen_ports],
            connect_ports=[api_port, *named] if (named := self._settings.connect_ports) else None,
            seccomp=self._means.seccomp,
            file_max_bytes=self._settings.scratch_mib * limits.MIB,
        )

    def _tree_with(self, code: str) -> Tree:
        shown = self._tree["shown"]
        is_shown = any(is_beneath(code, path) for path in shown)
        return Tree(
            shown=shown if is_shown else [*shown, code],
            writable=self._tree["writable"],
            links=self._tree["links"],
            tmp_mib=self._tree["tmp_mib"],
        )

    def exposes(self, directory: Path) -> list[str]:
        """Those directories that every function may read or change and that ``directory`` lies in."""
        everywhere = (*self._readable, *self._settings.writable)
        return [path for path in everywhere if directory.is_relative_to(Path(path).resolve())]
