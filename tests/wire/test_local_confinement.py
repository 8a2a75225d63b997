"""What a function tries on the daemon, the machine and other functions: confined it gets nowhere, else it does."""

import asyncio
import json
import os
import signal
import socket
import sys
from ast import literal_eval
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from msgspec.structs import replace
from support.daemon.process import DaemonProcess, api_of, running_daemon
from support.functions.local_runtime import LocalRuntimeHarness, eventually, failure_of, is_alive, local_harness
from support.functions.zips import zip_of
from support.http.service import zipped

from taskd.model.errors import TaskdError
from taskd.runtime.local.confinement import landlock, seccomp
from taskd.runtime.local.confinement.means import OF_THE_KERNEL, Means, of_the_kernel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or landlock.ABI < landlock.ABI_SCOPE or not seccomp.IS_AVAILABLE,
        reason="this kernel does not confine",
    ),
]

TRY = """
import ctypes, fcntl, json, os, signal, socket, subprocess, termios

libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def handler(event, context):
    source = event["data"]["expression"] if isinstance(event, dict) else event
    try:
        return {"did": repr(eval(source))}
    except OSError as error:
        return {"refused": error.strerror}
"""
"""Runs whatever expression it is sent."""


async def attempt(harness: LocalRuntimeHarness, expression: str, name: str = "probe") -> dict[str, str]:
    answer: dict[str, str] = await harness.value(expression, name)
    return answer


@pytest.fixture
async def confined(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path / "data" / "functions", writable=()) as harness:
        await harness.deploy_python(TRY)
        yield harness


@pytest.fixture
async def unconfined(tmp_path: Path) -> AsyncIterator[LocalRuntimeHarness]:
    async with local_harness(tmp_path / "data" / "functions", confine="off") as harness:
        await harness.deploy_python(TRY)
        yield harness


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that no sandbox has another in the place of, as it has of /tmp."""
    with TemporaryDirectory(dir="/var/tmp") as directory:
        yield Path(directory)


@asynccontextmanager
async def attacked_daemon(directory: Path, confine: str) -> AsyncIterator[tuple[DaemonProcess, Any]]:
    """A daemon with the function, and a way to have that evaluate an expression."""
    settings = f'[local]\nconfine = "{confine}"\n'
    async with running_daemon(directory, settings) as daemon, api_of(daemon) as api:
        (daemon.data / "auth.key").touch(0o600)
        fields = {"name": "probe", "runtime": "python3.11", "entryPoint": "index.handler"}
        await api.call("POST", "/functions", fields | {"code": zipped(index=TRY)})

        async def attack(expression: str) -> dict[str, str]:
            answer = await api.call("POST", "/functions/probe/execute", {"data": {"expression": expression}})
            return dict(answer["result"])

        yield daemon, attack


def secrets_of(daemon: DaemonProcess) -> Iterator[Path]:
    yield daemon.data / "auth.key"
    yield daemon.data / "catalogue.db"
    yield next((daemon.data / "journal").glob("*.journal"))


async def test_a_function_reads_none_of_the_daemons_files_and_does_not_see_which_there_are(
    home: Path, tmp_path: Path
) -> None:
    async with attacked_daemon(home, "on") as (daemon, attack):
        for path in secrets_of(daemon):
            assert "refused" in await attack(f"open({str(path)!r}, 'rb').read()")
        assert "refused" in await attack(f"os.listdir({str(daemon.data)!r})")
    async with attacked_daemon(tmp_path, "off") as (daemon, attack):
        for path in secrets_of(daemon):
            assert "did" in await attack(f"open({str(path)!r}, 'rb').read(9)")


@pytest.mark.parametrize("change", ["open({0!r}, 'ab').write(b'x')", "os.truncate({0!r}, 0)", "os.unlink({0!r})"])
async def test_a_function_does_not_change_the_journal(home: Path, change: str) -> None:
    async with attacked_daemon(home, "on") as (daemon, attack):
        segment = next((daemon.data / "journal").glob("*.journal"))
        assert "refused" in await attack(change.format(str(segment)))
        assert segment.exists()
    assert await daemon.start()
    assert await daemon.stop() == 0


async def test_data_below_tmp_is_not_seen_either(tmp_path: Path) -> None:
    async with attacked_daemon(tmp_path, "on") as (daemon, attack):
        for path in secrets_of(daemon):
            assert "refused" in await attack(f"open({str(path)!r}, 'rb').read()")
        assert (await attack(f"os.listdir({str(daemon.data)!r})"))["did"] == "['functions']"


@pytest.mark.parametrize("change", ["os.chmod({0!r}, 0o777)", "os.utime({0!r}, (0, 0))", "os.chown({0!r}, 0, 0)"])
async def test_a_function_does_not_change_modes_and_times_of_the_daemons_files(home: Path, change: str) -> None:
    async with attacked_daemon(home, "on") as (daemon, attack):
        before = daemon.data.stat()
        answer = await attack(change.format(str(daemon.data)))
        after = daemon.data.stat()
        assert "refused" in answer
        assert (after.st_mode, after.st_mtime, after.st_uid) == (before.st_mode, before.st_mtime, before.st_uid)


async def test_a_function_changes_neither_its_own_code_nor_anothers(confined: LocalRuntimeHarness) -> None:
    await confined.deploy_python(TRY, name="other")
    for name in ("probe", "other"):
        (version,) = confined.versions(name)
        code = confined.directory / name / version / "index.py"
        assert "refused" in await attempt(confined, f"open({str(code)!r}, 'a').write('x')")
        assert "refused" in await attempt(confined, f"os.rename({str(code.parent)!r}, {str(code.parent)!r} + 'x')")
        assert code.read_text().strip() == TRY.strip()
        assert ("did" if name == "probe" else "refused") in await attempt(confined, f"open({str(code)!r}).read()")


async def test_an_unconfined_function_changes_anothers_code(unconfined: LocalRuntimeHarness) -> None:
    await unconfined.deploy_python(TRY, name="other")
    (version,) = unconfined.versions("other")
    code = unconfined.directory / "other" / version / "index.py"
    assert "did" in await attempt(unconfined, f"open({str(code)!r}, 'a').write('x')")


@pytest.mark.parametrize(
    "trace", ["call('ptrace', 16, {0}, 0, 0)", "open('/proc/{0}/mem', 'rb')", "open('/proc/{0}/environ').read()"]
)
async def test_a_function_traces_neither_the_daemon_nor_its_supervisor(home: Path, trace: str) -> None:
    async with attacked_daemon(home, "on") as (daemon, attack):
        assert "refused" in await attack(trace.format(daemon.process.pid))
        supervisor = (await attack("os.getppid()"))["did"]
        assert "refused" in await attack(trace.format(supervisor))


ENVIRONMENT = "open('/proc/{}/environ').read()"


async def test_a_function_does_not_see_by_which_secret_another_is_known(confined: LocalRuntimeHarness) -> None:
    await confined.deploy_python(TRY, name="other")
    other = (await attempt(confined, "os.getpid()", "other"))["did"]
    assert "refused" in await attempt(confined, ENVIRONMENT.format(other))
    assert "AWS_LAMBDA_RUNTIME_API" in (await attempt(confined, ENVIRONMENT.format("self")))["did"]


async def test_an_unconfined_function_sees_by_which_secret_another_is_known(unconfined: LocalRuntimeHarness) -> None:
    await unconfined.deploy_python(TRY, name="other")
    other = (await attempt(unconfined, "os.getpid()", "other"))["did"]
    assert "AWS_LAMBDA_RUNTIME_API" in (await attempt(unconfined, ENVIRONMENT.format(other)))["did"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP])
async def test_a_function_sends_no_signal_to_the_daemon_or_its_supervisor(home: Path, number: int) -> None:
    async with attacked_daemon(home, "on") as (daemon, attack):
        assert "refused" in await attack(f"os.kill({daemon.process.pid}, {int(number)})")
        assert "refused" in await attack(f"os.kill(os.getppid(), {int(number)})")
        assert "did" in await attack("os.getpid()")


async def test_an_unconfined_function_kills_the_daemon(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, '[local]\nconfine = "off"\n') as daemon, api_of(daemon) as api:
        fields = {"name": "probe", "runtime": "python3.11", "entryPoint": "index.handler"}
        await api.call("POST", "/functions", fields | {"code": zipped(index=TRY)})
        await api.create("probe", data={"expression": f"os.kill({daemon.process.pid}, 9)"})
        assert await daemon.process.wait() == -signal.SIGKILL


async def test_a_signal_to_everybody_reaches_nobody_else(confined: LocalRuntimeHarness) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, reached.set)  # one that nobody minds
    try:
        assert "did" in await attempt(confined, "os.kill(-1, signal.SIGWINCH)")
        await attempt(confined, "None")
        assert not reached.is_set()
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


BOMB = """
import os
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork() > 0:
                os._exit(0)
    return os.getpid()
"""


async def test_a_process_that_keeps_replacing_itself_ends_with_its_sandbox(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", writable=()) as harness:
        await harness.deploy_python(BOMB)
        await harness.value()
        launcher = harness.runtime._launcher._process
        assert launcher is not None
        (supervisor,) = children(launcher.pid)
        await harness.runtime._pool.stop()
        await eventually(lambda: not is_alive(int(supervisor)))


@pytest.mark.parametrize(
    "reach",
    [
        "call('prlimit64', {daemon}, 7, ctypes.byref((ctypes.c_ulong * 2)(1, 1)), None)",
        "os.sched_setaffinity({daemon}, [0])",
        "os.setpriority(os.PRIO_PROCESS, {daemon}, 19)",
        "os.setpriority(os.PRIO_USER, 0, 19)",
        "call('unshare', 0x10000000)",
        "call('unshare', 0x00020000)",
        "call('mount', None, b'/', None, 32, None)",
        "call('syscall', 250, 0, 0)",
        "call('shmget', 7, 4096, 0o1666)",
        "call('syscall', 425, 1, 0)",
        "call('process_vm_readv', {daemon}, None, 0, None, 0, 0)",
        "call('syscall', 424, os.pidfd_open({daemon}), 9, None, 0)",
        "call('syscall', 129, {daemon}, 9, (ctypes.c_int * 32)(9, 0, -1))",
        "call('syscall', 234, {daemon}, {daemon}, 9)",
        "call('syscall', 438, os.pidfd_open({daemon}), 0, 0)",
        "call('syscall', 323, 0)",
        "call('syscall', 298, None, 0, -1, -1, 0)",
        "call('syscall', 321, 0, None, 0)",
        "call('syscall', 304, -100, None, 0)",
        "call('setresuid', 65534, 65534, 65534)",
        "call('personality', 0x20000) or call('unshare', 0x40000000)",
        "os.setrlimit(7, (1 << 20, 1 << 20)) if hasattr(os, 'setrlimit') else os.nice(-5)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_VSOCK)",
        "socket.socket(38, socket.SOCK_SEQPACKET)",
        "fcntl.ioctl(0, termios.TIOCSTI, b'x')",
        "open('/proc/self/oom_score_adj', 'w')",
        "open('/proc/sys/kernel/core_pattern', 'w')",
        "open('/proc/{daemon}/oom_score_adj', 'w')",
        "os.listdir('/proc/{daemon}/root')",
        "os.listdir('/proc/{daemon}/fd')",
        "os.readlink('/proc/{daemon}/cwd')",
        "open('/sys/fs/cgroup/cgroup.procs', 'w')",
        "os.fchmod(os.open('index.py', os.O_RDONLY), 0o777)",
        "os.setxattr('index.py', 'user.x', b'')",
        "os.link('index.py', '/tmp/index.py')",
        "os.mknod('/tmp/memory', 0o20666, os.makedev(1, 1))",
        "os.chroot('/tmp')",
        "call('setuid', 65534)",
        "open('/dev/shm/x', 'w')",
        "os.listdir('/root')",
        "os.listdir('/var/lib')",
        "open('/etc/shadow').read()",
    ],
)
async def test_a_function_reaches_nothing_else(confined: LocalRuntimeHarness, reach: str) -> None:
    supervisor = (await attempt(confined, "os.getppid()"))["did"]
    assert "refused" in await attempt(confined, reach.format(daemon=supervisor))


async def test_a_function_has_no_rights_and_inherits_no_descriptors(confined: LocalRuntimeHarness) -> None:
    status = dict(line.split(":\t", 1) for line in (await said(confined, "/proc/self/status")).splitlines())
    assert [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [0] * 5
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    own_bootstrap = zip_of({"bootstrap": DESCRIPTORS}, mode=0o755)
    await confined.deploy(own_bootstrap, name="descriptors", runtime="provided.al2023")
    assert await confined.value(name="descriptors") == {"0": "/dev/null", "1": "pipe", "2": "pipe"}


async def said(harness: LocalRuntimeHarness, path: str) -> str:
    """What a function reads in a file."""
    return str(literal_eval((await attempt(harness, f"open({path!r}).read()"))["did"]))


DESCRIPTORS = f"""\
    #!{sys.executable}
    import json, os
    names = {{fd: f"/proc/self/fd/{{fd}}" for fd in range(100)}}
    held = {{fd: os.readlink(name).partition(":")[0] for fd, name in names.items() if os.path.exists(name)}}
    import urllib.request
    api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
    call = urllib.request.urlopen(api + "next").headers["Lambda-Runtime-Aws-Request-Id"]
    urllib.request.urlopen(api + call + "/response", data=json.dumps(held).encode())
    """


async def test_functions_are_the_first_to_go_when_memory_runs_out(confined: LocalRuntimeHarness) -> None:
    own = oom_score_adj("self")
    assert int(await said(confined, "/proc/self/oom_score_adj")) == min(1000, own + 500)
    supervisor = (await attempt(confined, "os.getppid()"))["did"]
    assert oom_score_adj(supervisor) == own


def oom_score_adj(process: str) -> int:
    return int(Path(f"/proc/{process}/oom_score_adj").read_text())


async def test_a_function_has_limits(confined: LocalRuntimeHarness) -> None:
    limits = (await said(confined, "/proc/self/limits")).splitlines()
    held = {line[:25].strip(): line[26:].split()[:2] for line in limits}
    assert held["Max core file size"] == ["0", "0"]
    assert held["Max open files"] == ["1024", "4096"]
    assert held["Max processes"] == ["1024", "1024"]
    assert held["Max file size"] == [str(512 << 20)] * 2


async def test_a_function_cannot_have_the_kernel_send_a_signal_for_it(home: Path) -> None:
    async with attacked_daemon(home, "on") as (daemon, attack):
        await attack(SIGNAL_OF_A_FILE.format(daemon.process.pid))
        assert "did" in await attack("os.getpid()")
        assert daemon.process.returncode is None


SIGNAL_OF_A_FILE = (
    "[(fcntl.fcntl(r, fcntl.F_SETOWN, {}), fcntl.fcntl(r, 10, 9), fcntl.fcntl(r, fcntl.F_SETFL, 0o20000),"
    " os.write(w, b'x')) for r, w in [os.pipe()]]"
)
"""The end of a pipe whose owner gets SIGKILL when there is something to read."""


async def test_a_function_reaches_no_abstract_socket(confined: LocalRuntimeHarness) -> None:
    await confined.deploy_python(CONNECT, name="connects")
    name = f"\0taskd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        assert failure_of(await confined.call(name, "connects")).name == "PermissionError"


@pytest.mark.parametrize(
    "use",
    [
        "open('/tmp/x', 'w').write('1')",
        "os.chmod('/tmp', 0o700)",
        "subprocess.check_output(['bash', '-c', 'echo 1 > $TMPDIR/x && cat /tmp/x && cat <(date)'])",
        "subprocess.run(['sleep', '600'], timeout=0.1) if False else subprocess.Popen(['sleep', '600']).kill()",
        "__import__('threading').Thread(target=print).start()",
        "__import__('socket').getaddrinfo('localhost', 80)",
        "__import__('ssl').create_default_context().cert_store_stats()['x509_ca'] > 0 or 1 / 0",
        "__import__('zoneinfo').ZoneInfo('Europe/Brussels')",
        "__import__('locale').setlocale(0, 'C.UTF-8')",
        "open('/dev/null', 'w').write('x') and open('/dev/urandom', 'rb').read(1)",
        "os.cpu_count() and open('/proc/meminfo').read() and open('/proc/self/maps').read()",
        "__import__('resource').setrlimit(7, (64, 64))",
        "subprocess.run([__import__('sys').executable, '-c', 'import ssl, ctypes'], check=True)",
    ],
)
async def test_a_function_uses_what_it_has_a_use_for(confined: LocalRuntimeHarness, use: str) -> None:
    assert "did" in await attempt(confined, use)


CONNECT = """
import socket
def handler(address, context):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.connect(address if isinstance(address, str) else tuple(address))
        return connection.recv(9).decode()
"""


async def _greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"greeting")
    writer.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


LISTEN = "__import__('socket').create_server(('127.0.0.1', {})).close()"


async def test_a_function_may_connect_anywhere_and_listen_where_the_kernel_chooses(
    confined: LocalRuntimeHarness,
) -> None:
    await confined.deploy_python(CONNECT, name="connects")
    async with await asyncio.start_server(_greet, "127.0.0.1", 0) as server:
        assert await confined.value(server.sockets[0].getsockname(), "connects") == "greeting"
    assert "did" in await attempt(confined, LISTEN.format(0))
    assert "did" in await attempt(confined, "__import__('socket').socket().listen()")
    assert "refused" in await attempt(confined, LISTEN.format(free_port()))


async def test_a_function_uses_the_ports_that_are_named_and_no_others(tmp_path: Path) -> None:
    port = free_port()
    async with (
        await asyncio.start_server(_greet, "127.0.0.1", 0) as named,
        await asyncio.start_server(_greet, "127.0.0.1", 0) as other,
    ):
        reachable, unreachable = (server.sockets[0].getsockname() for server in (named, other))
        async with local_harness(
            tmp_path / "functions", writable=(), listen_ports=(port,), connect_ports=(reachable[1],)
        ) as harness:
            await harness.deploy_python(TRY)
            await harness.deploy_python(CONNECT, name="connects")
            assert "did" in await attempt(harness, LISTEN.format(port))
            assert "refused" in await attempt(harness, LISTEN.format(free_port()))
            assert await harness.value(reachable, "connects") == "greeting"
            assert failure_of(await harness.call(unreachable, "connects")).name == "PermissionError"


@pytest.mark.parametrize(
    "way",
    [
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).bind(('127.0.0.1', {free}))",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).bind(('127.0.0.1', {free}))",
        "socket.socket(socket.AF_INET6, socket.SOCK_STREAM).bind(('::', {free}))",
        "socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', {other}))",
        "socket.socket().sendmsg([b'x'], [], 0x20000000, ('127.0.0.1', {other}))",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(('127.0.0.1', {other}))",
    ],
)
async def test_no_way_leads_around_the_rules_for_ports(tmp_path: Path, way: str) -> None:
    async with (
        await asyncio.start_server(_greet, "127.0.0.1", 0) as other,
        local_harness(tmp_path / "functions", writable=(), connect_ports=(1,)) as harness,
    ):
        await harness.deploy_python(TRY)
        port = other.sockets[0].getsockname()[1]
        assert "refused" in await attempt(harness, way.format(free=free_port(), other=port))


async def test_a_function_may_use_any_udp_port(confined: LocalRuntimeHarness) -> None:
    assert "did" in await attempt(confined, f"__import__('socket').socket(2, 2).bind(('127.0.0.1', {free_port()}))")


async def test_a_function_reaches_no_socket_of_another_program(home: Path) -> None:
    async with (
        local_harness(home / "data" / "functions", writable=()) as harness,
        await asyncio.start_unix_server(_greet, home / "socket"),
    ):
        await harness.deploy_python(CONNECT)
        assert failure_of(await harness.call(str(home / "socket"))).name == "FileNotFoundError"


async def test_a_function_connects_to_a_socket_in_a_directory_that_is_named(home: Path) -> None:
    async with (
        local_harness(home / "data" / "functions", writable=(), readable=(str(home),)) as harness,
        await asyncio.start_unix_server(_greet, home / "socket"),
    ):
        await harness.deploy_python(CONNECT)
        assert await harness.value(str(home / "socket")) == "greeting"


@pytest.mark.parametrize(
    "fill",
    [
        "[open(f'/tmp/{n}', 'wb').write(bytes(1 << 19)) for n in range(3)]",
        "[os.posix_fallocate(os.open(f'/tmp/{n}', os.O_CREAT | os.O_RDWR), 0, 1 << 19) for n in range(3)]",
        "[os.mkdir(f'/tmp/{n}') for n in range(1000)]",
        "open('/notes', 'w')",
        "os.mkdir('/x')",
    ],
)
async def test_a_function_cannot_fill_the_disk(tmp_path: Path, fill: str) -> None:
    async with local_harness(tmp_path / "functions", writable=(), scratch_mib=1) as harness:
        await harness.deploy_python(TRY)
        assert (await attempt(harness, fill))["refused"] in ("No space left on device", "Read-only file system")
        assert harness.scratch() == []


async def test_without_mounts_of_its_own_a_function_has_a_directory(tmp_path: Path) -> None:
    means = replace(OF_THE_KERNEL, own_mounts=False)
    async with local_harness(tmp_path / "functions", means=means, writable=()) as harness:
        await harness.deploy_python(TRY)
        assert "did" in await attempt(harness, "open(os.environ['TMPDIR'] + '/x', 'w').write('1')")
        assert "refused" in await attempt(harness, "open('/tmp/x', 'w').write('1')")
        assert len(harness.scratch()) == 1


async def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", writable=(), scratch_mib=1) as harness:
        await harness.deploy_python(TRY)
        assert await attempt(harness, "open('/tmp/x', 'wb').write(bytes(1 << 21))") == {"refused": "File too large"}
        assert "did" in await attempt(harness, "open('/tmp/x', 'wb').write(bytes(1 << 19))")


async def test_directories_that_are_named_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights").write_text("7")
    writable, readable = (str(tmp_path / "shared"),), (str(tmp_path / "models"),)
    async with local_harness(tmp_path / "functions", writable=writable, readable=readable) as harness:
        await harness.deploy_python(TRY)
        assert "did" in await attempt(harness, f"open({str(tmp_path / 'shared' / 'x')!r}, 'w').write('1')")
        assert (await attempt(harness, f"open({str(tmp_path / 'models' / 'weights')!r}).read()"))["did"] == "'7'"
        assert "refused" in await attempt(harness, f"open({str(tmp_path / 'models' / 'weights')!r}, 'w')")
    assert (tmp_path / "shared" / "x").read_text() == "1"


@pytest.mark.parametrize(
    "means", {means.describe(): means for abi in (7, 5, 4, 1) for means in of_the_kernel(abi).fewer()}.values()
)
async def test_with_whatever_a_machine_has_functions_run_and_health_says_what_it_is(
    tmp_path: Path, means: Means
) -> None:
    async with local_harness(tmp_path / "functions", means=means, writable=()) as harness:
        await harness.deploy_python(TRY)
        assert "did" in await attempt(harness, "open(os.environ['TMPDIR'] + '/x', 'w').write('1')")
        assert harness.runtime.confinement == means.describe()


async def test_required_does_not_start_where_something_is_missing(tmp_path: Path) -> None:
    means = replace(OF_THE_KERNEL, landlock_abi=4)
    with pytest.raises(TaskdError, match="functions can send signals to taskd"):
        async with local_harness(tmp_path / "functions", means=means, writable=(), confine="required"):
            pass


async def test_on_an_older_kernel_a_function_has_processes_of_its_own(home: Path) -> None:
    async with local_harness(home / "functions", means=of_the_kernel(landlock_abi=2), writable=()) as harness:
        await harness.deploy_python(TRY)
        assert harness.runtime.confinement == "Landlock ABI 2, seccomp, own mounts, own processes"
        assert "refused" in await attempt(harness, f"open({str(home / 'functions' / 'x')!r}, 'w')")
        assert "did" in await attempt(harness, "subprocess.run(['true'], check=True)")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_on_an_older_kernel_a_function_sends_no_signal_to_others(tmp_path: Path, number: int) -> None:
    async with local_harness(tmp_path / "functions", means=of_the_kernel(landlock_abi=2), writable=()) as harness:
        await harness.deploy_python(TRY)
        await harness.deploy_python(BOMB, name="bomb")
        await harness.value(name="bomb")
        victim = await asyncio.create_subprocess_exec("sleep", "600")
        try:
            assert "refused" in await attempt(harness, f"os.kill({victim.pid}, {int(number)})")
            assert "refused" in await attempt(harness, f"os.kill({os.getpid()}, {int(number)})")
            assert "did" in await attempt(harness, f"os.kill(1, {int(number)})")
            assert "did" in await attempt(harness, "os.getpid()")
            assert victim.returncode is None
        finally:
            victim.kill()
            await victim.wait()


async def test_on_an_older_kernel_nothing_lives_on_after_a_function(tmp_path: Path) -> None:
    async with local_harness(tmp_path / "functions", means=of_the_kernel(landlock_abi=2), writable=()) as harness:
        await harness.deploy_python(BOMB)
        await harness.value()
        launcher = harness.runtime._launcher._process
        assert launcher is not None
        (first,) = children(launcher.pid)
        assert children(int(first))
        await harness.runtime._pool.stop()
        await eventually(lambda: not is_alive(int(first)))  # with which all its processes are gone


async def test_required_does_not_start_with_data_where_functions_may_read(tmp_path: Path) -> None:
    with pytest.raises(TaskdError, match=str(tmp_path)):
        async with local_harness(tmp_path / "data" / "functions", readable=(str(tmp_path),), confine="required"):
            pass


async def test_health_says_what_confines_functions(tmp_path: Path) -> None:
    async with running_daemon(tmp_path, '[local]\nconfine = "required"\n') as daemon, api_of(daemon) as api:
        async with api._session.get(f"{daemon.url}/health") as answer:
            health = json.loads(await answer.text())
        assert health["confinement"] == f"Landlock ABI {landlock.ABI}, seccomp, own mounts"
        assert f"functions are confined by {health['confinement']}" in daemon.log.read_text()
