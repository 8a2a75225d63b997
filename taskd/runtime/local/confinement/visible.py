"""What of this machine every sandbox may read: what programs need to run, and nothing that is somebody's.

No directory of users, no ``/var``, ``/run``, ``/opt`` or ``/srv``, and of ``/etc`` only what says how this machine
works, since configurations have secrets in them.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_CONFIGURATION = (
    *("ssl", "pki", "ca-certificates", "crypto-policies", "resolv.conf", "hosts", "host.conf", "nsswitch.conf"),
    *("gai.conf", "services", "protocols", "networks", "hostname", "passwd", "group", "localtime", "timezone"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "alternatives", "locale.alias", "locale.conf"),
    *("mime.types", "fonts", "magic", "os-release", "debian_version", "python3", "terminfo", "inputrc", "bash.bashrc"),
    *("java", "perl", "ImageMagick-6", "ImageMagick-7", "vulkan", "OpenCL"),
)
_KERNEL = (
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version"),
    *("/proc/filesystems", "/proc/sys", "/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup"),
    *("/sys/kernel/mm",),
)
_OF_PREFIX = ("bin", "lib", "lib64", "share", "include", "pyvenv.cfg")


def system() -> Iterator[str]:
    """What programs of any kind need, as far as it is there."""
    configuration = (f"/etc/{name}" for name in _CONFIGURATION)
    libraries = (path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path.startswith("/"))
    yield from (path for path in (*_SYSTEM, *configuration, *_KERNEL, *libraries) if Path(path).exists())


def python() -> Iterator[str]:
    """The interpreter that runs taskd, with what is installed for it."""
    yield sys.executable
    for prefix in sorted({sys.prefix, sys.base_prefix}):
        yield from (str(path) for name in _OF_PREFIX if (path := Path(prefix, name)).exists())


def program(command: str) -> Iterator[str]:
    """A program that is not one of the system's, and the libraries that were installed beside it."""
    yield command
    real = Path(command).resolve()
    libraries = real.parent.parent / "lib" / "node_modules"
    if libraries.is_dir():
        yield str(libraries)
