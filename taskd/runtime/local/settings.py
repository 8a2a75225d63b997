"""What can be set about the local runtime."""

from typing import Annotated, Literal

from msgspec import Struct

from taskd.model import limits

Confine = Literal["on", "required", "off"]


class LocalSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[local]`` table of the configuration."""

    max_sandboxes: Annotated[int, limits.Range(1, 4096)] = 16
    """Child processes at once, over all functions; calls past it wait for a free one."""
    idle_expiry_s: Annotated[float, limits.Range(0.1, 86_400)] = 300.0
    """A warm sandbox unused for this long is ended."""
    queue_wait_s: Annotated[float, limits.Range(0.1, 3600)] = 10.0
    """A call waits this long for a free sandbox; then it is refused, has not run, and is tried again later."""
    confine: Confine = "on"
    """Whether functions are confined: as far as the kernel lets it, or else taskd does not start, or not at all."""
    readable: tuple[str, ...] = ()
    """Files and directories that every function may read, besides its code and the system's own."""
    writable: tuple[str, ...] = ()
    """Directories that every function may change, besides its own scratch directory."""
    scratch_mib: Annotated[int, limits.Range(1, 1_048_576)] = 512
    """How much fits into the ``/tmp`` of a confined function, which is memory; also the largest file it may write."""
    listen_ports: tuple[Annotated[int, limits.Range(1, 65_535)], ...] = ()
    """The TCP ports that confined functions may listen on, besides those that the kernel chooses."""
    connect_ports: tuple[Annotated[int, limits.Range(1, 65_535)], ...] = ()
    """The TCP ports that confined functions may connect to; all, if none is named."""
