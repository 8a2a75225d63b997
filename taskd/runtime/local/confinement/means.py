"""The means by which sandboxes are confined: which the kernel has, what each stops, and what is open without it."""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from taskd.runtime.local.confinement import kernel, landlock, seccomp


class Means(Struct, frozen=True):
    """What sandboxes are confined by."""

    landlock_abi: int
    seccomp: bool
    own_mounts: bool
    own_processes: bool
    """Used where Landlock does not keep signals within."""
    subreaper: bool

    @property
    def is_scoped(self) -> bool:
        """Whether Landlock keeps signals and abstract sockets within."""
        return self.landlock_abi >= landlock.ABI_SCOPE

    def missing(self) -> list[str]:
        """What is not there, in words."""
        keeps_signals, ends_all = self.is_scoped or self.own_processes, self.subreaper or self.own_processes
        gaps = {
            "Landlock: functions can use all files that they see as taskd can": self.landlock_abi == 0,
            f"Landlock ABI {landlock.ABI_TRUNCATE}: functions can empty files": self.landlock_abi in (1, 2),
            f"Landlock ABI {landlock.ABI_PORTS}: functions can listen on any TCP port": self.landlock_abi < 4,
            f"Landlock ABI {landlock.ABI_SCOPE}: functions can connect to abstract Unix sockets": not self.is_scoped,
            "Landlock ABI 6 or namespaces of processes: functions can send signals to taskd": not keeps_signals,
            "seccomp: functions can trace each other and change taskd's limits": not self.seccomp,
            "mount namespaces: functions have no /tmp, can change modes of taskd's files, connect to sockets of other "
            "programs, and fill the disk": not self.own_mounts,
            "subreapers: what a function starts may live on after it": not ends_all,
        }
        return [gap for gap, is_open in gaps.items() if is_open]

    def describe(self) -> str:
        """One line for the log and for ``/health``."""
        have = [f"Landlock ABI {self.landlock_abi}"] * bool(self.landlock_abi)
        have += ["seccomp"] * self.seccomp + ["own mounts"] * self.own_mounts + ["own processes"] * self.own_processes
        return ", ".join(have) or "nothing"

    def fewer(self) -> Iterator["Means"]:
        """These, and then with less and less: what a kernel has may be forbidden."""
        yield self
        if self.own_processes:
            yield replace(self, own_processes=False)
        bare = replace(self, own_mounts=False, own_processes=False)
        yield bare
        yield replace(bare, seccomp=False)
        yield replace(bare, landlock_abi=0)
        yield replace(bare, seccomp=False, landlock_abi=0)


def of_the_kernel(landlock_abi: int = landlock.ABI) -> Means:
    """What this machine's kernel has, be it allowed or not; ``landlock_abi`` may be less than it has."""
    return Means(
        landlock_abi=landlock_abi,
        seccomp=seccomp.IS_AVAILABLE,
        own_mounts=True,
        own_processes=landlock_abi < landlock.ABI_SCOPE,
        subreaper=kernel.has_subreapers(),
    )


OF_THE_KERNEL = of_the_kernel()
