"""How far this machine confines sandboxes, and the rules of each. Decides; :mod:`confine` does it, elsewhere."""

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from taskd.model import limits
from taskd.runtime.local.confinement import landlock, visible
from taskd.runtime.local.confinement.confine import Rules
from taskd.runtime.local.settings import LocalSettings


class Means(Struct, frozen=True):
    """What the kernel gives."""

    landlock_abi: int
    seccomp: bool
    own_mounts: bool

    def missing(self) -> list[str]:
        """What is not there, in words."""
        gaps = {
            "Landlock: functions can read and write what taskd can": self.landlock_abi == 0,
            f"Landlock ABI {landlock.ABI_TRUNCATE}: functions can empty files": self.landlock_abi in (1, 2),
            f"Landlock ABI {landlock.ABI_SCOPE}: functions can send signals to taskd": self.landlock_abi < 6,
            "seccomp: functions can trace each other and change taskd's limits": not self.seccomp,
            "mount namespaces: functions have no /tmp, and can change modes of taskd's files": not self.own_mounts,
        }
        return [gap for gap, is_open in gaps.items() if is_open]

    def describe(self) -> str:
        """One line for the log and for ``/health``."""
        have = [f"Landlock ABI {self.landlock_abi}"] * bool(self.landlock_abi)
        have += ["seccomp"] * self.seccomp + ["own mounts"] * self.own_mounts
        return ", ".join(have) or "nothing"


class Confinement:
    """How sandboxes are confined; ``means`` is ``None`` where they are not. All may read what ``programs`` need."""

    def __init__(self, settings: LocalSettings, means: Means | None, programs: Iterable[str]) -> None:
        self._settings = settings
        self._means = means
        self._readable = sorted({*visible.system(), *programs, *settings.readable})

    @property
    def description(self) -> str:
        """One line that says how."""
        return "off" if self._means is None else self._means.describe()

    def rules(self, scratch: str, code: str) -> Rules | None:
        """Of a sandbox with a directory of its own that runs ``code``."""
        if self._means is None:
            return None
        return Rules(
            scratch=scratch,
            readable=[*self._readable, code],
            writable=list(self._settings.writable),
            own_mounts=self._means.own_mounts,
            file_max_bytes=self._settings.scratch_file_mib * limits.MIB,
        )

    def exposes(self, directory: Path) -> list[str]:
        """Those directories that every function may read or change and that ``directory`` lies in."""
        everywhere = (*self._readable, *self._settings.writable)
        return [path for path in everywhere if directory.is_relative_to(Path(path).resolve())]
