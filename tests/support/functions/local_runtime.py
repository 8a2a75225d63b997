"""A local runtime for tests: deploys sources and calls them as the dispatcher would."""

import asyncio
import json
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.functions.zips import function, python_zip

from taskd.model.function import Function
from taskd.runtime.base import FunctionError, Invocation, InvocationError, InvocationResult, Success
from taskd.runtime.local.confinement.means import OF_THE_KERNEL, Means
from taskd.runtime.local.runtime import LocalRuntime
from taskd.runtime.local.settings import LocalSettings


class LocalRuntimeHarness:
    """A started runtime and shorthands for what tests do with it."""

    def __init__(self, runtime: LocalRuntime, directory: Path) -> None:
        self.runtime = runtime
        self.directory = directory

    async def deploy(self, code: bytes, **fields: Any) -> Function:
        """Prepares and deploys ``code``; ``fields`` are the function's."""
        prepared = await self.runtime.prepare(function(**fields), code)
        await self.runtime.deploy(prepared)
        return prepared

    async def deploy_python(self, source: str, **fields: Any) -> Function:
        """Deploys an ``index.py``."""
        return await self.deploy(python_zip(source), **fields)

    def call(
        self, data: object = None, name: str = "probe", timeout_s: float = 30.0, owner: str | None = None
    ) -> "Future[InvocationResult]":
        """Calls the function with ``data`` as its event."""
        event = json.dumps(data).encode()
        return self.runtime.invoke(Invocation("5f00000000000000000000aa", name, event, timeout_s, owner))

    async def value(self, data: object = None, name: str = "probe") -> Any:
        """What the function returns for ``data``; it has to succeed."""
        return json.loads(success_of(await self.call(data, name)).payload)

    def versions(self, name: str = "probe") -> list[str]:
        """The versions of a function that are unpacked."""
        folder = self.directory / name
        return sorted(version.name for version in folder.iterdir()) if folder.is_dir() else []

    def scratch(self) -> list[Path]:
        """What lies in the work directory: sandboxes' scratch, half unpacked and half removed code."""
        return list((self.directory / ".work").iterdir())

    def removing(self) -> bool:
        """Whether code is being removed now."""
        return bool(self.runtime._code._removals)


@asynccontextmanager
async def local_harness(
    directory: Path, functions: list[Function] | None = None, means: Means = OF_THE_KERNEL, **settings: Any
) -> AsyncIterator[LocalRuntimeHarness]:
    """A runtime on ``directory`` that has started with ``functions``, stopped at the end.

    Functions may write to the directory around it, unless ``settings`` say otherwise.
    """
    with_shared = LocalSettings(**{"writable": (str(directory.parent),)} | settings)
    runtime = LocalRuntime(directory, with_shared, means=means)
    await runtime.start(functions or [])
    try:
        yield LocalRuntimeHarness(runtime, directory)
    finally:
        await runtime.stop()


def success_of(result: InvocationResult) -> Success:
    """The result of a call that has to have succeeded."""
    assert isinstance(result, Success), result
    return result


def failure_of(result: InvocationResult) -> FunctionError | InvocationError:
    """The result of a call that has to have failed with a name."""
    assert isinstance(result, FunctionError | InvocationError), result
    return result


def messages(result: InvocationResult) -> list[str]:
    """The text of the lines that a call printed."""
    return [line.message for line in getattr(result, "logs", ())]


def is_alive(process: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


async def eventually(condition: Callable[[], bool]) -> None:
    """Waits until ``condition`` holds: for what other processes do, and nobody can be told of. Fails after 10 s."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited for 10 s in vain")


async def appears(path: Path) -> str:
    """Waits until a function has written ``path`` to the end of a line; gives the text."""
    await eventually(lambda: _text(path).endswith("\n"))
    return _text(path).strip()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def open_descriptors() -> int:
    """How many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))
