"""The steps of confinement, in a process that belongs to a user without any rights."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from taskd.runtime.local.confinement import confine, kernel, landlock, mounts
from taskd.runtime.local.confinement.tree import tree_of

PR_SET_DUMPABLE = 4
NOBODY = 65534


@pytest.fixture
def scratch() -> Iterator[Path]:
    path = Path(mkdtemp(dir="/var/tmp"))
    os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    kernel.prctl(PR_SET_DUMPABLE, 1)  # as after the start of a program


def confine_and_write(shared: str) -> None:
    rules = confine.Rules(
        scratch="/tmp",
        readable=["/usr"],
        writable=[shared],
        tree=tree_of(["/usr"], [shared], 1),
        own_processes=False,
        landlock_abi=landlock.ABI,
        listen_ports=[],
        connect_ports=None,
        seccomp=True,
        file_max_bytes=1 << 20,
    )
    mounts.enter_namespaces(own_processes=False)
    assert confine.confine_supervisor(rules)
    confine.confine_program(rules)
    for path in ("/tmp/note", f"{shared}/note"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, b"written")
    assert [path.name for path in Path("/tmp").iterdir()] == ["note"]


def in_a_fork(*steps: Callable[[], object]) -> int:
    """Takes the steps in another process; gives its exit status."""
    child = os.fork()
    if child == 0:
        try:
            for step in steps:
                step()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(sys.platform != "linux" or landlock.ABI < landlock.ABI_SCOPE, reason="this kernel does not confine")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_rights_gets_mounts_of_its_own(scratch: Path) -> None:
    # the parent is nobody's as well, as the launcher is of the same user as a supervisor
    assert in_a_fork(become_nobody, lambda: os._exit(in_a_fork(lambda: confine_and_write(str(scratch))))) == 0
    assert (scratch / "note").read_text() == "written"
