"""The program of the launcher: forks a supervisor for each sandbox that it is asked for.

Runs on its own with the standard library and what confines sandboxes: what it has in memory, every supervisor shares.
The end of its connection is the daemon's end, however that came about.
"""

import gc
import os
import signal
import socket

from taskd.runtime.local import supervisor
from taskd.runtime.local.confinement import kernel

_FDS = 2
_FDS_MAX = 3
"""With the channel of a sandbox that has one."""


def main() -> None:
    """Forks until the connection ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the daemon may still be shutting down in good order
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a supervisor
    kernel.become_subreaper()  # nor for one that is the first of processes of its own
    with socket.socket(fileno=os.dup(0)) as requests:
        _detach_input()
        gc.disable()
        gc.freeze()
        while _serve(requests):
            pass


def _detach_input() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)


def _serve(requests: socket.socket) -> bool:
    """Forks one supervisor; ``False`` at the end of the connection."""
    message, fds, _, _ = socket.recv_fds(requests, 1, _FDS_MAX)
    if not message:
        return False
    for fd in fds:  # the standard library does not pass on the flag for it
        os.set_inheritable(fd, False)  # noqa: FBT003 - the name of the function says it
    try:
        if len(fds) >= _FDS and os.fork() == 0:
            requests.close()
            supervisor.main(*fds)
    except OSError as error:
        supervisor.refuse(fds[0], error)
    finally:
        for fd in fds:
            os.close(fd)
    return True


if __name__ == "__main__":
    main()
